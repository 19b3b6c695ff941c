"""Data first, then text and JSON."""
