"""The axis of a sweep's metric, which shows the metric or its gap to the known minimum."""

from __future__ import annotations

from collections.abc import Sequence

from gdframe.config.known_minimum import known_minimum
from gdframe.sweeps.comparing.comparison import Configuration


def axis_offset(configurations: Sequence[Configuration], metric: str) -> tuple[float, str]:
    """Return the number to add to a metric for its axis, and the label of the axis.

    An objective whose minimum is known, and the same for all, is shown as the gap to it.

    Args:
        configurations: of one scale.
        metric: to compare the runs by.
    """
    if metric != "objective":
        return 0.0, metric
    minima = {known_minimum(c.records[0].result, c.records[0].folder) for c in configurations}
    minimum = minima.pop() if len(minima) == 1 else None
    if minimum is None or minimum == 0:
        return 0.0, metric
    lowest = min((value for c in configurations for value in c.values.values()), default=minimum)
    # rounding may have taken a run below the minimum
    return (-minimum, "objective minus its minimum") if lowest > minimum else (0.0, metric)


def scale_of(ranked: Sequence[Configuration]) -> str:
    """Return the settings that determine the scale, for a title."""
    return "".join(f" of {key}={value}" for key, value in ranked[0].problem.items())
