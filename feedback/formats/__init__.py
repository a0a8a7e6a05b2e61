"""Feedback in and out of other tools: one module for each format, `entries` for what they have in common."""
