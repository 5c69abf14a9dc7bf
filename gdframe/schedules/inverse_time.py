"""Inverse-time decay: factor 1 / (1 + decay * t)^power, with t in epochs.

Source: Robbins and Monro, "A stochastic approximation method" (1951): SGD converges if the sum of
the learning rates diverges and the sum of their squares is finite, so for ``0.5 < power <= 1``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import bad_value
from gdframe.registry import SCHEDULES
from gdframe.schedules.base import Clock, Schedule


@SCHEDULES.register("inverse_time")
class InverseTime(Schedule):
    """Lowers the learning rate in proportion to one over time, so that SGD converges.

    Args:
        decay: inverse of the unit of time in epochs, above 0.
        power: exponent, above 0.

    Example:
        >>> InverseTime(decay=1.0)(np.array([0, 10, 30]), Clock(steps_per_epoch=10, epochs=5))
        array([1.  , 0.5 , 0.25])
    """

    def __init__(self, *, decay: float = 1.0, power: float = 1.0) -> None:
        for name, value in (("decay", decay), ("power", power)):
            if not value > 0:
                raise bad_value(f"{name}={value:g}", "a number above 0")
        self.decay, self.power = decay, power

    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """Return 1 / (1 + decay * t)^power."""
        return (1.0 + self.decay * epochs) ** -self.power
