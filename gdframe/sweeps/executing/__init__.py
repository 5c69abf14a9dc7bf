"""Plans a sweep and trains its runs in run groups."""
