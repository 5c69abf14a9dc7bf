"""What lies on disk: run folders, results, histories, checkpoints, event files."""
