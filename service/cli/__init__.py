"""The command line: the composition root, the one place that may reach into all three packages, and only lazily."""
