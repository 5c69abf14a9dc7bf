"""Writes what a sweep leaves besides its runs: tables, pictures, mean curves."""
