"""Sweeps: many runs, and one table of them."""
