"""What people think of each version, in figures."""
