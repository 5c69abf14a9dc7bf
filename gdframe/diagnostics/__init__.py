"""Diagnostics of a run: curvature, stability, minimum and advice."""
