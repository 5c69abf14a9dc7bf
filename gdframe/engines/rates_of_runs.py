"""The learning rates that runs will have, at which an update rule in another form is compared.

A rule may decide by its learning rate in ways that nothing but its results shows: by its type, or
by looking it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from gdframe.engines.base import Problem
from gdframe.schedules.base import Clock, Schedule, factors_of
from gdframe.schedules.constant import is_constant

Value = TypeVar("Value")

MOST_EPOCHS, MOST_STEPS = 256, 64
"""Most epochs of a schedule that are looked at, and most steps at the start and end of each."""

MOST_FACTORS, MOST_RATES = 16, 256
"""Most factors of a schedule, and most learning rates of all runs, for which rules are compared."""


def rates_of_runs(runs: Sequence[Problem], clock: Clock) -> list[tuple[int, float]]:
    """Return pairs of a run's index and a learning rate that it will have.

    Args:
        runs: each with its schedule and the optimizer's learning rate.
        clock: of the runs.
    """
    factors: dict[int, list[float]] = {}
    pairs = []
    for index, run in enumerate(runs):
        schedule = run.schedule
        if id(schedule) not in factors:
            factors[id(schedule)] = _factors(schedule, clock)
        lr = float(run.optimizer.param_groups[0]["lr"])
        pairs += [(index, lr * factor) for factor in factors[id(schedule)]]
    return _thinned(pairs, MOST_RATES)


def _factors(schedule: Schedule, clock: Clock) -> list[float]:
    """Return the least, the largest and other factors of a schedule."""
    if is_constant(schedule):
        return [1.0]
    seen: set[float] = set()
    for epoch in _thinned(range(int(min(clock.epochs, 1e9))), MOST_EPOCHS):
        first = epoch * clock.steps_per_epoch
        last = first + clock.steps_per_epoch
        for begin, end in {
            (first, min(first + MOST_STEPS, last)), (max(last - MOST_STEPS, first), last),
        }:  # fmt: skip
            seen.update(factors_of([schedule], begin, end, clock)[0][0].tolist())
    return _thinned(sorted(seen), MOST_FACTORS)


def _thinned(values: Sequence[Value], most: int) -> list[Value]:
    """Return at most ``most`` values, evenly spaced, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, most).round().astype(int)]
