"""The learning-rate range test: what each rate does to the objective in a number of steps.

Either all rates at once, each a run of its own from the same start (one batch on an engine), or the
classic ramp, one run whose rate grows from step to step (Smith, "Cyclical learning rates for
training neural networks", 2017).
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

GROWN = 10.0
"""How many times its start the objective of a rate that is called too large has grown."""

SMOOTHING = 0.9
"""Weight of the past in the ramp's smoothed loss."""


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Args:
        rates: (points,) ascending.
        values: (points,) the objective after ``steps`` updates, or the ramp's smoothed loss at that
            rate; NaN where it is not finite.
        start: the objective before any update.
        steps: updates.
        ramp: whether one run went through all rates.
        limit: the rate beyond which descent is unstable, by the curvature; None where not known.
    """

    rates: Array
    values: Array
    start: float
    steps: int
    ramp: bool
    limit: float | None

    @property
    def best(self) -> int:
        """Which rate has the lowest value."""
        return int(np.nanargmin(self.values))

    @property
    def too_large(self) -> float | None:
        """The lowest rate from which on all explode; None where none does."""
        bad = ~(self.values <= GROWN * abs(self.start))
        if not bad[-1]:
            return None
        fine = np.flatnonzero(~bad)
        return float(self.rates[fine[-1] + 1 if len(fine) else 0])

    @property
    def suggestion(self) -> tuple[float | None, str]:
        """A rate, and why; or None, and why not."""
        found = np.isfinite(self.values)
        if not found.any() or not np.nanmin(self.values) < self.start:
            return None, (
                f"no rate from {self.rates[0]:.3g} to {self.rates[-1]:.3g} lowers the objective in "
                f"{self.steps:,} steps: try other rates with --low and --high, or more --steps"
            )
        lowest = float(self.rates[self.best])
        if self.ramp:
            return lowest / 10, f"a tenth of {lowest:.3g}, where the ramp's loss is lowest"
        value = f"the lowest objective after {self.steps:,} steps ({self.values[self.best]:.4g})"
        edge = self.too_large
        if edge is not None and lowest > edge / 2:
            return edge / 2, f"half of {edge:.3g}, from which on descent explodes; {value} is near"
        if self.best == len(self.rates) - 1:
            return lowest, f"{value}, at the end of the range: try larger ones with --high"
        return lowest, value

    def to_json(self) -> dict[str, object]:
        """Return what ``lr_range.json`` holds."""
        rate, reason = self.suggestion
        return {
            "suggestion": rate,
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
        steps: how many there are, at least 2.
    """

    def __init__(self, ratio: float, steps: int) -> None:
        self.ratio, self.steps = ratio, steps

    def factor(self, epochs: Array, clock: Clock) -> Array:
        """Ratio to the power of the share of the steps that are done."""
        found: Array = self.ratio ** (epochs * clock.steps_per_epoch / (self.steps - 1))
        return found


def try_rates(engine: Engine, rates: Sequence[float], steps: int, limit: float | None) -> RangeTest:
    """Train a run with each rate, all at once.

    Args:
        engine: its runs start alike, one with each rate.
        rates: ascending.
        steps: updates of each.
        limit: by the curvature.
    """
    start = engine.evaluate("train")[0].objective
    losses, norms = _advance(engine, steps)
    ended = [evaluation.objective for evaluation in engine.evaluate("train")]
    values = np.array(ended, dtype=np.float64)
    broken = ~(np.isfinite(losses) & np.isfinite(norms)).all(axis=1)
    values[broken | ~np.isfinite(values)] = math.nan
    return RangeTest(np.array(rates, dtype=np.float64), values, start, steps, False, limit)


def try_ramp(engine: Engine, low: float, high: float, steps: int, limit: float | None) -> RangeTest:
    """Train one run whose rate grows from step to step.

    Args:
        engine: of one run with the rate ``low`` and the schedule ``Ramp(high / low, steps)``.
        low: the first rate.
        high: the last.
        steps: updates.
        limit: by the curvature.
    """
    start = engine.evaluate("train")[0].objective
    losses = _advance(engine, steps)[0][0].astype(np.float64)
    good = np.isfinite(losses)
    losses[int(good.argmin()) if not good.all() else steps :] = math.nan
    smooth, past = np.full(steps, math.nan), 0.0
    for step, loss in enumerate(losses):
        past = SMOOTHING * past + (1 - SMOOTHING) * loss
        smooth[step] = past / (1 - SMOOTHING ** (step + 1))
    return RangeTest(np.geomspace(low, high, steps), smooth, start, steps, True, limit)


def _advance(engine: Engine, steps: int) -> tuple[Array, Array]:
    """Execute steps; return their losses and gradient norms, (runs, steps) each."""
    traces, done = [], 0
    while done < steps:
        last = min(steps, engine.clock.epoch_end(done))
        traces.append(engine.advance(done, last))
        done = last
        if not traces[-1].finite_steps().any():  # none can come back
            break
    losses = np.concatenate([trace.loss for trace in traces], axis=1)
    norms = np.concatenate([trace.gradient_norm for trace in traces], axis=1)
    missing = ((0, 0), (0, steps - losses.shape[1]))
    return (
        np.pad(losses, missing, constant_values=math.nan),
        np.pad(norms, missing, constant_values=math.nan),
    )
