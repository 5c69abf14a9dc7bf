"""The classic range test: one run whose learning rate grows from step to step.

Source: Smith, "Cyclical learning rates for training neural networks" (2017).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.learning_rate.rate_range import RangeTest, no_descent
from gdframe.engines.base import Engine
from gdframe.engines.eager import Eager
from gdframe.engines.units import objective_unit
from gdframe.errors import UserError
from gdframe.schedules.base import Clock, Schedule

Array = NDArray[np.float64]

SMOOTHING = 0.9
"""Weight of earlier steps in the smoothed loss."""


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


def try_ramp(engine: Engine, low: float, high: float, steps: int, limit: float | None) -> RangeTest:
    """Train one run whose learning rate grows from step to step, and return the result.

    Args:
        engine: of one run with learning rate ``low`` and schedule ``Ramp(high / low, steps)``.
        low: the first learning rate.
        high: the last learning rate.
        steps: number of steps.
        limit: the largest stable learning rate, if it is known and the same at every point.
    """
    unit = objective_unit(engine.runs[0].objective.loss, engine.data)
    start = engine.evaluate("train", whole=False)[0].loss * unit
    losses = _losses(engine, steps) * unit
    is_finite = np.isfinite(losses)
    losses[int(is_finite.argmin()) if not is_finite.all() else steps :] = math.nan
    smooth, average = np.full(steps, math.nan), 0.0
    for step, loss in enumerate(losses):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smooth[step] = average / (1 - SMOOTHING ** (step + 1))
    rates = np.geomspace(low, high, steps)
    suggestion = _suggestion(rates, smooth, start, limit)
    return RangeTest(rates, smooth, start, steps, True, limit, suggestion)


def _suggestion(
    rates: Array, values: Array, start: float, limit: float | None
) -> tuple[float | None, str]:
    if not np.isfinite(values).any() or not np.nanmin(values) < start:
        return None, no_descent(rates[0], rates[-1], len(rates), what="loss")
    lowest = float(rates[int(np.nanargmin(values))])
    reason = f"a tenth of {lowest:.3g}, where the ramp's loss is lowest"
    if limit is not None and lowest / 10 > limit:
        return limit / 2, f"half of the stability limit; {reason}, is above that"
    return lowest / 10, reason


def _losses(engine: Engine, steps: int) -> Array:
    """Execute steps of the engine's only run and return their losses, (steps,); NaN at its end.

    On the plain loop a step may raise where its numbers are too large; the ramp ends before it.
    """
    losses, done, may_raise = np.full(steps, math.nan), 0, isinstance(engine, Eager)
    while done < steps:
        last = done + 1 if may_raise else min(steps, engine.clock.epoch_end(done))
        try:
            losses[done:last] = engine.advance(done, last).loss[0]
        except UserError:
            raise
        except Exception:  # a component may raise anything
            if not done:
                raise
            break
        done = last
        if not math.isfinite(losses[done - 1]):  # it cannot recover
            break
    return losses
