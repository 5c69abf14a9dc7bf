"""Linear warm-up, then any other schedule, which starts at the end of the warm-up.

Source: Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour" (2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import bad_value
from gdframe.registry import SCHEDULES
from gdframe.schedules.base import Clock, Schedule


@SCHEDULES.register("warmup")
class Warmup(Schedule):
    """Raises the learning rate linearly to its full value, then follows another schedule.

    Args:
        epochs: length of the warm-up, above 0.
        start: factor at the first step, in [0, 1].
        then: the schedule that follows: its name, a mapping of its name and arguments
            (``{name: step, every: 10}``), or a Schedule.

    Example:
        >>> Warmup(epochs=1, start=0.5)(np.array([0, 5, 10]), Clock(steps_per_epoch=10, epochs=5))
        array([0.5 , 0.75, 1.  ])
    """

    def __init__(
        self,
        *,
        epochs: float = 5.0,
        start: float = 0.1,
        then: str | Mapping[str, Any] | Schedule = "constant",
    ) -> None:
        if not epochs > 0:
            raise bad_value(f"epochs={epochs:g}", "a number above 0")
        if not 0 <= start <= 1:
            raise bad_value(f"start={start:g}", "a number in [0, 1]")
        self.epochs, self.start = epochs, start
        self.then = _schedule(then)
        self.uses_run_length = self.then.uses_run_length

    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """Return start + (1 - start) * t / epochs, then the factors of the other schedule."""
        rising = self.start + (1.0 - self.start) * np.minimum(epochs / self.epochs, 1.0)
        # after a warm-up longer than the run, the other schedule gets no time, not a negative time
        remaining = replace(
            clock, epochs=max(clock.epochs - self.epochs, 1.0 / clock.steps_per_epoch)
        )
        after = self.then.factor(np.maximum(epochs - self.epochs, 0.0), remaining)
        return np.where(epochs < self.epochs, rising, after)


def _schedule(then: str | Mapping[str, Any] | Schedule) -> Schedule:
    if isinstance(then, Schedule):
        return then
    settings = {"name": then} if isinstance(then, str) else dict(then)
    if "name" not in settings:
        raise bad_value(f"then={dict(settings)}", "a name, as in {name: cosine}")
    built: Schedule = SCHEDULES.configured(settings, key="then")
    return built
