"""Hostile and broken files, one table of them, each with the outcome it must have."""
