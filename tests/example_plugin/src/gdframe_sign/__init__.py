"""Sign descent for gdframe."""
