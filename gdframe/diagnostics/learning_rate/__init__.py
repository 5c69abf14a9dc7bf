"""Learning rates: trials of many at once, the search for one that trains well, the range test."""

AUTO = "auto"
"""The value of ``lr`` that stands for a search."""

FALLBACK = 0.01
"""The learning rate of a run whose search finds none."""
