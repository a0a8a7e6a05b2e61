"""Benchmarks: `python -m tests.bench.<name> --json FILE`. They print machine, versions and date, and gate no test."""
