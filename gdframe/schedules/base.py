"""The base class of schedules, which map steps to factors of the learning rate."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import UserError
from gdframe.hidden_state import ONE_AT_A_TIME, Guard, HiddenState
from gdframe.registry import is_built_in

SPAN = 1024
"""Most steps for which a user's schedule is asked at a time."""

MOST_TRIALS = 512
"""Epochs, and other steps, at which a schedule is tried."""


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


def factors_of(
    schedules: Sequence[Schedule], first: int, last: int, clock: Clock
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the factors of many runs; equal schedules are evaluated once.

    A user's schedule is always asked for the same spans of an epoch, however an engine cuts
    it into blocks.

    Args:
        schedules: of the runs.
        first: the first step.
        last: the step after the last one, in the same epoch.
        clock: of the runs.

    Returns:
        The factors (distinct schedules, steps) of steps ``first`` to ``last - 1``, and the row of
        each run in them, (runs,).
    """
    rows: list[NDArray[np.float64]] = []
    places: dict[Any, int] = {}
    which = []
    for schedule in schedules:
        key = _key(schedule)
        if key not in places:
            places[key] = len(rows)
            rows.append(_factors(schedule, first, last, clock))
        which.append(places[key])
    return np.array(rows), np.array(which)


def _factors(schedule: Schedule, first: int, last: int, clock: Clock) -> NDArray[np.float64]:
    if are_built_in(schedule):
        return _called(schedule, np.arange(first, last), clock)
    begin, end = _span(first, clock)[0], _span(last - 1, clock)[1]
    spans = [_span(step, clock) for step in range(begin, end, SPAN)]
    with ONE_AT_A_TIME, HiddenState({"schedule": schedule}):
        values, again = (
            np.concatenate([_called(schedule, np.arange(*span), clock) for span in spans])
            for _ in range(2)
        )
    if not np.array_equal(values, again, equal_nan=True):
        raise _error(schedule)
    return values[first - begin : last - begin]


def _error(schedule: Schedule) -> UserError:
    """Return the error for a schedule that is no function of the time."""
    return UserError(
        f"{type(schedule).__name__}.factor: gives another factor when it is called again, or for "
        "other steps at a time; expected a function of each time since the start alone, as in "
        "np.where(epochs < 1, 1.0, 0.1)"
    )


def _span(step: int, clock: Clock) -> tuple[int, int]:
    """Return the steps for which a schedule is asked together with ``step``."""
    epoch_end = clock.epoch_end(step)
    offset = (step - epoch_end) % clock.steps_per_epoch
    begin = step - offset % SPAN
    return begin, min(begin + SPAN, epoch_end)


def check_schedule(schedule: Schedule, clock: Clock, components: Mapping[str, Any]) -> None:
    """Check that a user's schedule is a function of the step alone, over the whole run.

    Args:
        schedule: is called for spans of steps, for single steps and for steps of many epochs; the
            ends of epochs and a sample of steps, if there are too many for all.
        clock: of the run.
        components: of the run, which the schedule must leave as they are.

    Raises:
        UserError: a call returns other factors than another, or changes the schedule or the run.
    """
    if are_built_in(schedule):
        return
    steps = _steps_to_try(clock)
    name = type(schedule).__name__
    components = {
        key: component for key, component in components.items() if component is not schedule
    }
    with HiddenState({**components, "schedule": schedule}):
        guard = Guard(components)
        with guard.around(f"schedule {name}", schedule):
            spans = list(dict.fromkeys(_span(int(step), clock) for step in steps))
            values = {
                step: factor
                for span in spans
                for step, factor in zip(
                    range(*span), _called(schedule, np.arange(*span), clock), strict=True
                )
            }
        first = np.array([values[step] for step in steps.tolist()])
        _called(schedule, steps, clock)
        with HiddenState({"schedule": schedule}) as saved:  # the first calls may fill a cache
            with guard.around(f"schedule {name}", schedule):
                together = _called(schedule, steps, clock)
                singles = np.split(steps, len(steps))[::-1]
                alone = [_called(schedule, step, clock) for step in singles]
            place = saved.changed()
    second = np.concatenate(alone[::-1])
    is_same = all(
        np.allclose(first, other, rtol=1e-12, atol=0, equal_nan=True)
        for other in (together, second)
    )
    if place is not None or not is_same:
        raise _error(schedule)
    if not schedule.uses_run_length and _depends_on_length(schedule, clock, steps, first):
        raise UserError(
            f"{name}.factor: depends on clock.epochs, the length of the run: set uses_run_length = "
            "True in the class, so that a resumed run keeps its length"
        )


def _depends_on_length(
    schedule: Schedule, clock: Clock, steps: NDArray[np.int64], factors: NDArray[np.float64]
) -> bool:
    """Return whether a schedule has other factors in a longer run."""
    longer = Clock(clock.steps_per_epoch, 2 * clock.epochs + 1)
    with HiddenState({"schedule": schedule}):
        try:
            others = _called(schedule, steps, longer)
        except Exception:  # it may know the length by itself
            return False
    return not np.allclose(factors, others, rtol=1e-12, atol=0)


def _steps_to_try(clock: Clock) -> NDArray[np.int64]:
    """Return steps of a run, in order: the ends of epochs, and a seeded sample of the others."""
    epochs, length = max(1, math.ceil(clock.epochs)), clock.steps_per_epoch
    random = np.random.default_rng(0)
    ends = np.arange(min(epochs, MOST_TRIALS))
    if epochs > MOST_TRIALS:
        ends = np.array([0, 1, *random.integers(0, epochs, MOST_TRIALS), epochs - 2, epochs - 1])
    ends *= length
    sample = random.integers(0, epochs * length, MOST_TRIALS)
    steps = np.concatenate([ends, ends + 1, ends + length - 1, sample])
    if epochs * length <= MOST_TRIALS:
        steps = np.arange(epochs * length)
    return np.unique(steps[steps < epochs * length])


def _key(schedule: Schedule) -> Any:
    """Return a key that only equal schedules share."""
    if not are_built_in(schedule):
        return id(schedule)  # it may hold values that cannot be compared
    return (type(schedule), *((name, type(v), v) for name, v in vars(schedule).items()))


def are_built_in(schedule: Schedule) -> bool:
    """Return whether a schedule and those in it are built in."""
    inner = (value for value in vars(schedule).values() if isinstance(value, Schedule))
    return is_built_in(schedule) and all(map(are_built_in, inner))


def _called(schedule: Schedule, steps: NDArray[np.int64], clock: Clock) -> NDArray[np.float64]:
    """Return a schedule's factors of steps, checked; one for single times is asked for each."""
    try:
        values = np.asarray(schedule(steps, clock), dtype=np.float64)
    except (TypeError, ValueError):  # as of "if epochs < 2" and math.cos
        values = np.zeros(())
    if not values.ndim:
        values = np.array([float(schedule(step, clock)) for step in steps])
    if values.shape != (len(steps),):
        raise UserError(
            f"{type(schedule).__name__}.factor: returned shape {values.shape} for {len(steps)} "
            f"steps; expected ({len(steps)},), one factor for each step"
        )
    if not np.isfinite(values).all():
        at = int(np.isfinite(values).argmin())
        raise UserError(
            f"{type(schedule).__name__}.factor: returned {values[at]} for step {steps[at]:,}; "
            "expected finite numbers"
        )
    return values
