"""Labelling: which turns trained people look at, in which order, who has which now, and what becomes of their words."""
