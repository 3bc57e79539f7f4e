"""Fuzzing of parsers: what they are, how files are changed, and what is kept."""

FAULT = "FAULT "
"""Begins a line about a fault."""
