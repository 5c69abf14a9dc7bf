"""Training of runs: the loop, and the parts it needs."""
