"""The learning-rate range test: what each of many learning rates reaches, and a suggestion.

The test trains one run for each learning rate, all from the same start and in one run group. The
classic ramp is in ``ramp.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.learning_rate.search import NEAR, Search
from gdframe.diagnostics.learning_rate.trials import GROWTH, Trials

Array = NDArray[np.float64]

SECONDS = 10.0
"""Most estimated seconds of a range test that trains whole runs; a longer one trains a part."""

FEWEST = 100
"""Fewest steps by default."""


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Args:
        rates: (points,) learning rates, ascending.
        values: (points,) the objective after ``steps`` steps, or the ramp's smoothed loss; NaN
            where it is not finite.
        start: the objective before the first step; of a ramp, the loss.
        steps: number of steps.
        ramp: whether one run had all learning rates.
        limit: the largest stable learning rate, if it is known and the same at every point.
        suggestion: the suggested learning rate or None, and the reason.
        held_out: the learning rate with the lowest validation loss among those that lower the
            objective well, and that loss; None without validation rows.
    """

    rates: Array
    values: Array
    start: float
    steps: int
    ramp: bool
    limit: float | None
    suggestion: tuple[float | None, str]
    held_out: tuple[float, float] | None = None

    @property
    def best(self) -> int:
        """The index of the learning rate with the lowest value."""
        return int(np.nanargmin(self.values))

    @property
    def too_large(self) -> float | None:
        """The lowest learning rate from which on all diverge; None if none does."""
        has_diverged = ~(self.values <= GROWTH * abs(self.start))
        if not has_diverged[-1]:
            return None
        stable = np.flatnonzero(~has_diverged)
        return float(self.rates[stable[-1] + 1 if len(stable) else 0])

    def to_json(self) -> dict[str, object]:
        """Return the content of ``lr_range.json``."""
        lr, reason = self.suggestion
        return {
            "suggestion": lr,
            "reason": reason,
            "held_out": None if self.held_out is None else self.held_out[0],
            "too_large": self.too_large,
            "stability_limit": self.limit,
            "start": self.start,
            "steps": self.steps,
            "ramp": self.ramp,
            "rates": self.rates.tolist(),
            "values": [value if math.isfinite(value) else None for value in self.values.tolist()],
        }


def default_steps(trials: Trials, points: int) -> int:
    """Return the steps of the whole run, or fewer if those would take long.

    Args:
        trials: of the run.
        points: number of learning rates.
    """
    total = trials.steps_of_run
    affordable = int(SECONDS / (trials.seconds(points, total) / total))
    return min(total, max(affordable, FEWEST))


def no_descent(low: float, high: float, steps: int, *, what: str) -> str:
    """Return why there is no suggestion."""
    return (
        f"no learning rate from {low:.3g} to {high:.3g} lowers the {what} in {steps:,} steps; try "
        "others with --low and --high, or more --steps"
    )


def range_test(search: Search, start: float, limit: float | None) -> RangeTest:
    """Return the result of a search that has tried its rates.

    Args:
        search: has run.
        start: the objective before the first step.
        limit: the largest stable learning rate, if it is known and the same at every point.
    """
    held_out = search.by_validation()
    is_measured = held_out is not None and held_out.validation_loss is not None
    return RangeTest(
        rates=np.array([trial.lr for trial in search.tried]),
        values=np.array([trial.objective for trial in search.tried]),
        start=start,
        steps=search.steps,
        ramp=False,
        limit=limit,
        suggestion=_suggestion(search),
        held_out=(held_out.lr, held_out.held_out) if held_out and is_measured else None,
    )


def _suggestion(search: Search) -> tuple[float | None, str]:
    trial, best, tried = search.by_objective(), search.best, search.tried
    if trial is None or best is None:
        return None, no_descent(tried[0].lr, tried[-1].lr, search.steps, what="objective")
    reason = f"the lowest objective after {search.steps:,} steps ({best.objective:.4g})"
    if best.lr > search.safe:
        reason = f"at most half of {search.too_large:g}, where runs diverge; {reason} is too close"
    elif trial != best:
        reason = f"within {100 * NEAR:g} % of {reason}, with a lower validation loss"
    if best.lr in (tried[0].lr, tried[-1].lr):
        further = "smaller ones with --low" if best == tried[0] else "larger ones with --high"
        reason += f", at the end of the range; try {further}"
    return trial.lr, reason
