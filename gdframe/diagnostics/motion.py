"""The motion of the objective over the last epochs: down, still, up, or up and down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import partial

import numpy as np
from numpy.typing import NDArray

WINDOW, FEWEST = 100, 3
"""Most evaluations that are looked at, the latest; fewest that show a motion."""

ROUNDING = 8.0
"""Changes of the objective, in units of its rounding, that count as none."""

SIGNIFICANT, DRIFT = 4.0, 0.1
"""A trend's slope exceeds SIGNIFICANT standard errors, and in all epochs DRIFT of the gap."""

VISIBLE = 0.01
"""Rises and falls below this share of the gap do not explain it."""


class Motion(Enum):
    """Motion of the objective over the last epochs."""

    UNKNOWN, STANDS, DESCENDS, RISES, FLUCTUATES = range(5)


@dataclass(frozen=True)
class Course:
    """The course of the objective over the last epochs.

    Args:
        motion: its motion.
        epochs: number of the epochs that were looked at.
        start: objective before them.
        end: objective at the end.
        latest: number of the epochs of ``decrease``; the latest fifth, or more if they are noisy.
        decrease: mean decrease of one of them, relative to the objective before it.
    """

    motion: Motion
    epochs: int
    start: float
    end: float
    latest: int
    decrease: float


def course_of(
    objective: NDArray[np.float64], eps: float, gap: float, at: NDArray[np.float64] | None = None
) -> Course:
    """Return the course of the objective over the last epochs.

    Args:
        objective: by evaluation, from the start.
        eps: relative rounding of the run's type.
        gap: how far the objective is above its minimum, estimated; NaN if unknown.
        at: the epoch of each evaluation; by default each epoch is evaluated.

    Example:
        >>> course_of(2 + 0.9 ** np.arange(50.0), 1e-16, 0.005).motion
        <Motion.DESCENDS: 2>
        >>> course_of(2 + 0.1 * (-1) ** np.arange(50.0), 1e-16, 0.1).motion
        <Motion.FLUCTUATES: 4>
    """
    window = slice(-min(WINDOW + 1, 1 + len(objective) // 2), None)
    last = objective[window].tolist()
    times = np.arange(float(len(objective)))[window] if at is None else at[window]
    count, epochs = len(last) - 1, round(times[-1] - times[0])
    if count < FEWEST or not np.isfinite(last).all():
        return Course(Motion.UNKNOWN, epochs, last[0], last[-1], latest=0, decrease=0.0)
    latest, decrease = _latest(last, times.tolist())
    course = partial(
        Course, epochs=epochs, start=last[0], end=last[-1], latest=latest, decrease=decrease
    )
    changes, rounding = np.diff(last), ROUNDING * eps * float(np.abs(last).max())
    if np.ptp(last) <= rounding:
        return course(Motion.STANDS)
    if (changes <= rounding / 4).all():
        return course(Motion.DESCENDS)
    if (changes >= -rounding / 4).all():
        return course(Motion.RISES)
    numbers = np.arange(count + 1.0)
    slope, level = np.polyfit(numbers, last, 1)
    scatter = float((last - level - slope * numbers).std())
    error = scatter * math.sqrt(12 / (count + 1) ** 3)  # of the slope
    size = gap if np.isfinite(gap) and gap > 0 else 10 * scatter
    fall = -slope * count
    is_trend = abs(slope) > SIGNIFICANT * error and abs(fall) > DRIFT * size
    if is_trend and fall * (last[0] - last[-1]) > 0:
        return course(Motion.DESCENDS if fall > 0 else Motion.RISES)
    is_visible = float(np.ptp(last)) >= VISIBLE * size
    return course(Motion.FLUCTUATES if is_visible else Motion.STANDS)


def _latest(objective: list[float], times: list[float]) -> tuple[int, float]:
    """Return the number of the latest epochs in which an objective has fallen, and by how much."""
    most = len(objective) - 1
    count = max(FEWEST, most // 5)
    while objective[-1 - count] <= objective[-1] and count < most:
        count = min(2 * count, most)
    before, after = objective[-1 - count], objective[-1]
    epochs = round(times[-1] - times[-1 - count])
    if before > after > 0:  # the same share in each epoch
        return epochs, -math.expm1(math.log(after / before) / epochs)
    return epochs, (before - after) / epochs / max(abs(before), 1e-300)
