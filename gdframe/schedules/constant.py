"""The same learning rate throughout: factor 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdframe.registry import SCHEDULES
from gdframe.schedules.base import Clock, Schedule


@SCHEDULES.register("constant")
class Constant(Schedule):
    """Keeps the learning rate as it is given."""

    def __call__(self, steps: NDArray[np.int64], clock: Clock) -> NDArray[np.float64]:
        """1, without a look at the steps."""
        return np.ones(len(steps))

    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """1."""
        return np.ones_like(epochs)
