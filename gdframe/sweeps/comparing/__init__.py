"""Comparison of the runs of a sweep."""
