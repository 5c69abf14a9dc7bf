"""Why a run ends: rules judged at the end of each epoch, each with its reason in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from gdframe.errors import UserError

STEEP = 0.2
"""Share of the start's gradient norm above which a run that stands still is not at a minimum."""


class Status(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"
    MAX_EPOCHS = "max_epochs"
    TARGET_REACHED = "target_reached"
    TIME_LIMIT = "time_limit"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """A run is over: how, and why in words with numbers.

    Args:
        status: how.
        reason: what happened.
        advice: what to make of it, or to do; empty where there is nothing to add.
    """

    status: Status
    reason: str
    advice: str = ""

    def __str__(self) -> str:
        """Reason and advice in one sentence."""
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


@dataclass
class Course:
    """What the rules remember of a run.

    Args:
        start: objective before the first update.
        slope: gradient norm before the first update.
        best: lowest objective that counted as an improvement.
        last: objective at the end of the last epoch.
        stale: epochs in a row without improvement.
        rising: epochs in a row that ended higher than the one before.
    """

    start: float
    slope: float
    best: float
    last: float
    stale: int = 0
    rising: int = 0


class Stopping:
    """The rules that end a run, besides its limit on epochs.

    Args:
        tolerance: an epoch improves if it lowers the best objective by more than this share of it;
            null never stops for lack of improvement.
        patience: epochs without improvement after which the run has converged, at least 1.
        gradient_tolerance: the run has converged when the gradient's norm over all rows is at most
            this; null never stops for that.
        target: the run ends when the objective is at most this.
        time_limit: seconds of training after which the run ends.
        divergence_factor: the run has diverged when the objective is beyond this many times its
            start.

    Raises:
        UserError: a value out of its range.
    """

    def __init__(
        self,
        *,
        tolerance: float | None = 1e-6,
        patience: int = 5,
        gradient_tolerance: float | None = 1e-10,
        target: float | None = None,
        time_limit: float | None = None,
        divergence_factor: float = 1e6,
    ) -> None:
        for name, value in (("tolerance", tolerance), ("gradient_tolerance", gradient_tolerance)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"stopping.{name}={value:g}: must be at least 0, or null")
        if patience < 1:
            raise UserError(f"stopping.patience={patience}: must be at least 1")
        if target is not None and not math.isfinite(target):
            raise UserError(f"stopping.target={target}: must be a finite number, or null")
        if time_limit is not None and not time_limit > 0:
            raise UserError(f"stopping.time_limit={time_limit:g}: must be above 0, or null")
        if not divergence_factor > 1:
            raise UserError(f"stopping.divergence_factor={divergence_factor:g}: must be above 1")
        self.tolerance, self.patience = tolerance, patience
        self.gradient_tolerance, self.target = gradient_tolerance, target
        self.time_limit, self.divergence_factor = time_limit, divergence_factor

    def follow(self, course: Course, objective: float, *, noisy: bool) -> None:
        """Update what is remembered with the objective at the end of an epoch.

        Where updates see only some rows, an objective that rises is noise, and counts as no
        improvement. Where they see all, it is an oscillation that momentum will get over: the run
        is still on its way, and has not converged.
        """
        tolerance = self.tolerance or 0.0
        moved = abs(objective - course.last) > tolerance * abs(course.last)
        if course.best - objective > tolerance * abs(course.best):
            course.best, course.stale = objective, 0
        elif moved and not noisy:
            course.stale = 0
        else:
            course.stale += 1
        course.rising = course.rising + 1 if objective > course.last else 0
        course.last = objective

    def judge(
        self,
        course: Course,
        *,
        objective: float,
        gradient_norm: float,
        epoch: int,
        epochs: int,
        lr: float,
    ) -> Verdict | None:
        """Judge a run at the end of an epoch at which all values are finite.

        Args:
            course: what is remembered of the run.
            objective: over all training rows.
            gradient_norm: of that objective.
            epoch: epochs done.
            epochs: their limit.
            lr: the learning rate.
        """
        if course.start != 0 and objective > self.divergence_factor * abs(course.start):
            return Verdict(
                Status.DIVERGED,
                f"objective grew to {objective:.4g}, {objective / abs(course.start):.2g} times its "
                f"start {course.start:.4g}, in {_epochs(epoch)}",
                _smaller(lr),
            )
        if self.target is not None and objective <= self.target:
            return Verdict(
                Status.TARGET_REACHED,
                f"objective {objective:.6g} reached the target {self.target:g} in {_epochs(epoch)}",
            )
        if self.gradient_tolerance is not None and gradient_norm <= self.gradient_tolerance:
            return Verdict(
                Status.CONVERGED,
                f"gradient norm {gradient_norm:.3g} is at most {self.gradient_tolerance:g} "
                f"after {_epochs(epoch)}",
            )
        exploding = objective > course.start or course.rising >= self.patience
        if self.tolerance is not None and course.stale >= self.patience and not exploding:
            return Verdict(
                Status.CONVERGED,
                f"objective improved by less than {self.tolerance:g} (relative) "
                f"for {_epochs(self.patience)}",
                _still_steep(gradient_norm, course.slope),
            )
        if epoch >= epochs:
            return Verdict(Status.MAX_EPOCHS, f"reached the limit of {_epochs(epochs)}")
        return None

    def out_of_time(self, seconds: float) -> Verdict | None:
        """Judge the time a run has trained for."""
        if self.time_limit is not None and seconds >= self.time_limit:
            return Verdict(
                Status.TIME_LIMIT,
                f"trained for {seconds:.3g} s, at the limit of {self.time_limit:g} s",
            )
        return None


def diverged(what: str, value: float, step: int, lr: float, parameter: str | None) -> Verdict:
    """Say that a value stopped being finite.

    Args:
        what: ``loss``, ``gradient norm`` or ``objective``.
        value: the first that is not finite.
        step: the update that met it, counted from 1; 0 for the start.
        lr: the learning rate.
        parameter: the first parameter that is not finite, if any is.
    """
    became = "not a number" if math.isnan(value) else "infinite"
    if step == 0:
        reason = f"{what} is {became} at the start, before any update: start closer to zero"
        return Verdict(Status.DIVERGED, reason)
    where = f" (first in parameter '{parameter}')" if parameter else ""
    return Verdict(Status.DIVERGED, f"{what} became {became} at step {step}{where}", _smaller(lr))


def _still_steep(gradient_norm: float, start: float) -> str:
    if gradient_norm <= STEEP * start:
        return ""
    return (
        f"but the gradient norm {gradient_norm:.3g} is still {gradient_norm / start:.0%} of its "
        "start: the learning rate may be too small"
    )


def _smaller(lr: float) -> str:
    return f"learning rate {lr:g} is too large: try {lr / 10:g}"


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'' if count == 1 else 's'}"
