"""Runs that are too long for the suite, each started by hand: `python -m tests.soak.NAME`."""
