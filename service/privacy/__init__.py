"""Privacy: erasing and exporting one person's data, and keeping no turn longer than the operator wants."""
