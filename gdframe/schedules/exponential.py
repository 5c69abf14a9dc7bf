"""Exponential decay: factor gamma^t, with t in epochs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import bad_value
from gdframe.registry import SCHEDULES
from gdframe.schedules.base import Clock, Schedule


@SCHEDULES.register("exponential")
class Exponential(Schedule):
    """Multiplies the learning rate by the same factor in each epoch, continuously.

    Args:
        gamma: factor of one epoch, in (0, 1].

    Example:
        >>> Exponential(gamma=0.25)(np.array([0, 5, 10]), Clock(steps_per_epoch=10, epochs=5))
        array([1.  , 0.5 , 0.25])
    """

    def __init__(self, *, gamma: float = 0.95) -> None:
        if not 0 < gamma <= 1:
            raise bad_value(f"gamma={gamma:g}", "a number above 0 and at most 1")
        self.gamma = gamma

    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """Return gamma^t."""
        return np.power(self.gamma, epochs)
