"""Step decay: factor gamma^floor(t / every), with t in epochs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import bad_value
from gdframe.registry import SCHEDULES
from gdframe.schedules.base import Clock, Schedule


@SCHEDULES.register("step")
class Step(Schedule):
    """Multiplies the learning rate by a factor at regular intervals.

    Args:
        every: length of an interval in epochs, above 0.
        gamma: factor after each interval, in (0, 1].

    Example:
        >>> Step(every=2, gamma=0.1)(np.array([0, 19, 20]), Clock(steps_per_epoch=10, epochs=5))
        array([1. , 1. , 0.1])
    """

    def __init__(self, *, every: float = 30.0, gamma: float = 0.1) -> None:
        if not every > 0:
            raise bad_value(f"every={every:g}", "a number above 0")
        if not 0 < gamma <= 1:
            raise bad_value(f"gamma={gamma:g}", "a number above 0 and at most 1")
        self.every, self.gamma = every, gamma

    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """Return gamma^floor(t / every)."""
        return np.power(self.gamma, np.floor(epochs / self.every))
