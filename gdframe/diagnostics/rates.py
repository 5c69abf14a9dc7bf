"""The learning-rate range test: the objective after a number of steps with each learning rate.

The test trains one run for each learning rate, all from the same start and in one run group. The
classic ramp is one run whose learning rate grows from step to step (Smith, "Cyclical learning rates
for training neural networks", 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdframe.engines.base import Engine
from gdframe.schedules.base import Clock, Schedule

Array = NDArray[np.float64]

GROWTH = 10.0
"""Multiple of the start from which on a run counts as diverged."""

SMOOTHING = 0.9
"""Weight of earlier steps in the ramp's smoothed loss."""


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
        limit: the largest stable learning rate by the curvature; None if unknown.
    """

    rates: Array
    values: Array
    start: float
    steps: int
    ramp: bool
    limit: float | None

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

    @property
    def suggestion(self) -> tuple[float | None, str]:
        """The suggested learning rate or None, and the reason."""
        is_finite = np.isfinite(self.values)
        if not is_finite.any() or not np.nanmin(self.values) < self.start:
            what = "loss" if self.ramp else "objective"
            return None, (
                f"no learning rate from {self.rates[0]:.3g} to {self.rates[-1]:.3g} lowers the "
                f"{what} in {self.steps:,} steps; try others with --low and --high, or more "
                "--steps"
            )
        lowest = float(self.rates[self.best])
        if self.ramp:
            return lowest / 10, f"a tenth of {lowest:.3g}, where the ramp's loss is lowest"
        value = f"the lowest objective after {self.steps:,} steps ({self.values[self.best]:.4g})"
        edge = self.too_large
        if edge is not None and lowest > edge / 2:
            return edge / 2, f"half of {edge:.3g}, where runs diverge; {value} is close to that"
        if self.best == len(self.rates) - 1:
            return lowest, f"{value}, at the end of the range; try larger ones with --high"
        return lowest, value

    def to_json(self) -> dict[str, object]:
        """Return the content of ``lr_range.json``."""
        lr, reason = self.suggestion
        return {
            "suggestion": lr,
            "reason": reason,
            "too_large": self.too_large,
            "stability_limit": self.limit,
            "start": self.start,
            "steps": self.steps,
            "ramp": self.ramp,
            "rates": self.rates.tolist(),
            "values": [value if math.isfinite(value) else None for value in self.values.tolist()],
        }


class Ramp(Schedule):
    """A factor that grows geometrically from 1 to ``ratio`` over a number of steps.

    Args:
        ratio: the last factor.
        steps: number of steps, at least 2.
    """

    def __init__(self, ratio: float, steps: int) -> None:
        self.ratio, self.steps = ratio, steps

    def factor(self, epochs: Array, clock: Clock) -> Array:
        """Return ``ratio`` to the power of the share of steps done."""
        factors: Array = self.ratio ** (epochs * clock.steps_per_epoch / (self.steps - 1))
        return factors


def try_rates(engine: Engine, rates: Sequence[float], steps: int, limit: float | None) -> RangeTest:
    """Train one run with each learning rate, all at once, and return the result.

    Args:
        engine: of one run for each learning rate, with equal starts.
        rates: learning rates, ascending.
        steps: number of steps.
        limit: the largest stable learning rate by the curvature.
    """
    start = engine.evaluate("train", whole=False)[0].objective
    losses, norms = _advance(engine, steps)
    ends = engine.evaluate("train", whole=False)
    values = np.array([evaluation.objective for evaluation in ends], dtype=np.float64)
    is_finite = (np.isfinite(losses) & np.isfinite(norms)).all(axis=1)
    values[~is_finite | ~np.isfinite(values)] = math.nan
    return RangeTest(np.array(rates, dtype=np.float64), values, start, steps, False, limit)


def try_ramp(engine: Engine, low: float, high: float, steps: int, limit: float | None) -> RangeTest:
    """Train one run whose learning rate grows from step to step, and return the result.

    Args:
        engine: of one run with learning rate ``low`` and schedule ``Ramp(high / low, steps)``.
        low: the first learning rate.
        high: the last learning rate.
        steps: number of steps.
        limit: the largest stable learning rate by the curvature.
    """
    start = engine.evaluate("train", whole=False)[0].loss
    losses = _advance(engine, steps)[0][0].astype(np.float64)
    is_finite = np.isfinite(losses)
    losses[int(is_finite.argmin()) if not is_finite.all() else steps :] = math.nan
    smooth, average = np.full(steps, math.nan), 0.0
    for step, loss in enumerate(losses):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smooth[step] = average / (1 - SMOOTHING ** (step + 1))
    return RangeTest(np.geomspace(low, high, steps), smooth, start, steps, True, limit)


def _advance(engine: Engine, steps: int) -> tuple[Array, Array]:
    """Execute steps and return their losses and gradient norms, (runs, steps) each."""
    traces, done = [], 0
    while done < steps:
        last = min(steps, engine.clock.epoch_end(done))
        traces.append(engine.advance(done, last))
        done = last
        if not traces[-1].finite_steps().any():  # a run with a non-finite step cannot recover
            break
    losses = np.concatenate([trace.loss for trace in traces], axis=1)
    norms = np.concatenate([trace.gradient_norm for trace in traces], axis=1)
    missing = ((0, 0), (0, steps - losses.shape[1]))
    return (
        np.pad(losses, missing, constant_values=math.nan),
        np.pad(norms, missing, constant_values=math.nan),
    )
