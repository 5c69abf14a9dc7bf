"""Runs and sweeps on disk: folders, results, histories, checkpoints and event files."""
