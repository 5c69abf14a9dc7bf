"""Cosine annealing: factor final + (1 - final) * (1 + cos(pi * t / epochs)) / 2.

Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
without the restarts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import bad_value
from gdframe.registry import SCHEDULES
from gdframe.schedules.base import Clock, Schedule


@SCHEDULES.register("cosine")
class Cosine(Schedule):
    """Lowers the learning rate along half a cosine, then keeps it constant.

    Args:
        epochs: length of the decay, above 0; by default the length of the run.
        final: the factor at the end, in [0, 1].

    Example:
        >>> Cosine()(np.array([0, 10, 20]), Clock(steps_per_epoch=10, epochs=2))
        array([1. , 0.5, 0. ])
    """

    def __init__(self, *, epochs: float | None = None, final: float = 0.0) -> None:
        if epochs is not None and not epochs > 0:
            raise bad_value(f"epochs={epochs:g}", "a number above 0, or null for the run's length")
        if not 0 <= final <= 1:
            raise bad_value(f"final={final:g}", "a number in [0, 1]")
        self.epochs, self.final = epochs, final
        self.uses_run_length = epochs is None

    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """Return final + (1 - final) * (1 + cos(pi * t / epochs)) / 2, constant after the end."""
        length = clock.epochs if self.epochs is None else self.epochs
        share = np.clip(epochs / length, 0.0, 1.0)
        return self.final + (1.0 - self.final) * (1.0 + np.cos(np.pi * share)) / 2.0
