"""The base class of schedules, which map steps to factors of the learning rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import UserError
from gdframe.hidden_state import HiddenState
from gdframe.registry import is_own


@dataclass(frozen=True)
class Clock:
    """The conversion between steps and epochs of a run.

    Args:
        steps_per_epoch: number of steps in an epoch, at least 1.
        epochs: the run's limit on epochs.
    """

    steps_per_epoch: int
    epochs: float

    def epoch_end(self, step: int) -> int:
        """Return the step count at the end of the current epoch, after ``step`` steps.

        Example:
            >>> [Clock(10, 5).epoch_end(step) for step in (0, 9, 10)]
            [10, 10, 20]
        """
        return (step // self.steps_per_epoch + 1) * self.steps_per_epoch


class Schedule(ABC):
    """Base class of schedules; a subclass defines ``factor``.

    Durations are in epochs and may be fractions, so that a schedule has the same meaning for all
    three variants.
    """

    uses_run_length: bool = False
    """True if the factor depends on the run's number of epochs."""

    @abstractmethod
    def factor(self, epochs: NDArray[np.float64], clock: Clock) -> NDArray[np.float64]:
        """Return the factor at each of ``epochs``, the time since the start in epochs."""

    def __call__(self, steps: NDArray[np.int64], clock: Clock) -> NDArray[np.float64]:
        """Return the factor for each of ``steps``, counted from 0."""
        return self.factor(np.asarray(steps, dtype=np.float64) / clock.steps_per_epoch, clock)


def factors(
    schedules: Sequence[Schedule], first: int, last: int, clock: Clock
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the factors of many runs; equal schedules are evaluated once.

    Returns:
        The factors (distinct schedules, steps) of steps ``first`` to ``last - 1``, and the row of
        each run in them, (runs,).
    """
    steps = np.arange(first, last)
    rows: list[NDArray[np.float64]] = []
    places: dict[Any, int] = {}
    which = []
    for schedule in schedules:
        key = _key(schedule)
        if key not in places:
            places[key] = len(rows)
            rows.append(_checked(schedule, schedule(steps, clock), len(steps)))
        which.append(places[key])
    return np.array(rows), np.array(which)


def check_schedule(schedule: Schedule, clock: Clock) -> None:
    """Check that a user's schedule is a function of the step alone.

    Raises:
        UserError: a second call returns other factors, or changes the schedule's state.
    """
    if is_own(schedule):
        return
    steps = np.arange(min(64, clock.steps_per_epoch * max(1, int(clock.epochs))))
    with HiddenState({"schedule": schedule}):
        first = _checked(schedule, schedule(steps, clock), len(steps))
        with HiddenState({"schedule": schedule}) as saved:  # the first call may have filled a cache
            alone = [_checked(schedule, schedule(steps[i : i + 1], clock), 1) for i in steps]
            second = np.concatenate(alone)  # an engine asks for as many steps as it executes
            place = saved.changed()
    if place is not None or not np.array_equal(first, second, equal_nan=True):
        raise UserError(
            f"{type(schedule).__name__}.factor: gives another factor when it is called again; "
            "expected a function of the time since the start alone"
        )


def _key(schedule: Schedule) -> Any:
    """Return a key that only equal schedules share."""
    if not is_own(schedule):
        return id(schedule)  # it may hold values that cannot be compared
    return (type(schedule), *((name, type(v), v) for name, v in vars(schedule).items()))


def _checked(schedule: Schedule, factors: Any, steps: int) -> NDArray[np.float64]:
    values = np.asarray(factors, dtype=np.float64)
    if values.shape != (steps,):
        raise UserError(
            f"{type(schedule).__name__}.factor: returned shape {values.shape} for {steps} steps; "
            f"expected ({steps},), one factor for each step"
        )
    return values
