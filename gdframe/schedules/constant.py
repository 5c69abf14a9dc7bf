"""A constant learning rate: factor 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdframe.registry import SCHEDULES
from gdframe.schedules.base import Clock, Schedule


@SCHEDULES.register("constant")
class Constant(Schedule):
    """Leaves the learning rate unchanged."""

    def __call__(self, steps: NDArray[np.int64], clock: Clock) -> NDArray[np.float64]:
        """Return 1 for each step."""
        return np.ones(len(steps)) if is_constant(self) else super().__call__(steps, clock)

    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """Return 1 for each time."""
        return np.ones_like(epochs)


def is_constant(schedule: Schedule) -> bool:
    """Return whether a schedule is ``Constant``, and nothing was set on the instance."""
    return type(schedule) is Constant and not vars(schedule)
