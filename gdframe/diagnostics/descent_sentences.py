"""Sentences from evidence: why a run did not get further, and how far it is from the minimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.motion import Course, Motion, course_of
from gdframe.diagnostics.nearness import Nearness
from gdframe.diagnostics.smaller_rates_result import SmallerRatesResult
from gdframe.diagnostics.stability import Stability, two_digits
from gdframe.errors import counted
from gdframe.stopping import Verdict
from gdframe.stopping.base import TRY_SMALLER

SMALL = 0.2
"""Share of its limit below which a learning rate counts as small."""

ROUNDING = 8.0
"""Gap to the minimum, in units of the objective's rounding, that counts as none."""


SMALLER = "try a smaller one"
"""Advice where no smaller learning rate was tried."""


@dataclass(frozen=True)
class Evidence:
    """The facts about a run at its end.

    Args:
        objective: by evaluation, from the start.
        epochs: the epoch of each evaluation.
        lr: learning rate of the last step.
        largest_lr: largest learning rate of any epoch.
        is_sampled: whether a step sees only some rows.
        nearness: of the last point to a stationary point.
        stability: limits of the learning rate ``lr``, if known.
        tolerance: largest relative improvement of an epoch that counts as no improvement.
        eps: relative rounding of the run's type.
        remaining: epochs until the run converges, if known.
        try_smaller: trains with smaller learning rates for a while.
        is_rate_searched: whether the learning rate is the best of many that were tried.
        is_rule_known: whether the rule is known to rest at stationary points alone; others may rest
            elsewhere, as one with a projection does.
    """

    objective: NDArray[np.float64]
    epochs: NDArray[np.float64]
    lr: float
    largest_lr: float
    is_sampled: bool
    nearness: Nearness
    stability: Stability | None
    tolerance: float
    eps: float
    remaining: float | None = None
    try_smaller: Callable[[], SmallerRatesResult | None] = lambda: None
    is_rate_searched: bool = False
    is_rule_known: bool = True

    @property
    def course(self) -> Course:
        """The course of the objective over the last epochs."""
        return course_of(self.objective, self.eps, self.nearness.gap, self.epochs)


def explain_divergence(
    verdict: Verdict, stability: Stability | None, trial: SmallerRatesResult | None
) -> Verdict:
    """Return the verdict with the learning rate compared with its limit, and one that trains.

    Args:
        verdict: ``diverged``.
        stability: of its learning rate.
        trial: smaller learning rates that were tried, if they were.
    """
    if not verdict.advice.endswith(TRY_SMALLER):  # none at the start; or a user's rule has its own
        return verdict
    advice = verdict.advice.removesuffix(TRY_SMALLER)
    if stability is not None and stability.is_known:
        advice = stability.comparison
        if stability.is_constant:
            return replace(verdict, advice=f"{advice}; try {stability.suggestion}")
        if not stability.exceeded:
            advice += ", so the curvature was larger later"
    return replace(verdict, advice=f"{advice}; {trial or SMALLER}")


def why_not_further(evidence: Evidence) -> list[str]:
    """Return why a run that ended at no stationary point did not get further."""
    course, stability = evidence.course, evidence.stability
    is_moving = course.motion in (Motion.RISES, Motion.FLUCTUATES, Motion.STANDS)
    if stability is not None and stability.exceeded and (stability.is_constant or is_moving):
        motion = f": the objective {_moves(course)}" if is_moving else ""
        advice = f"; try {stability.suggestion}" if stability.is_constant else _tried(evidence)
        return [f"{stability.comparison}{motion}{advice}"]
    if course.motion is Motion.FLUCTUATES:
        if evidence.is_sampled:
            lr = "" if evidence.is_rate_searched else "a smaller learning rate, "
            if lr and stability is not None and stability.is_noisy:
                lr = f"{stability.suggestion}, "
            return [
                "the noise of the batches keeps the objective from settling; "
                f"try {lr}larger batches or a decaying schedule"
            ]
        return [f"the objective {_moves(course)}{_tried(evidence)}"]
    if course.motion is Motion.RISES:
        return [f"the objective {_moves(course)}"]
    return [sentence for sentence in (_slow(course, evidence), _small_rate(evidence)) if sentence]


def _tried(evidence: Evidence) -> str:
    """Return the advice to take a smaller rate, if one that was tried did better than the run."""
    outcome = evidence.try_smaller()
    is_better = outcome is not None and outcome.lowest < float(evidence.objective[-1])
    return f"; {outcome}" if is_better else ""


def _moves(course: Course) -> str:
    span = f"over the last {counted(course.epochs, 'epoch')}"
    if course.motion is Motion.RISES:
        return f"has risen {span}, from {course.start:.4g} to {course.end:.4g}"
    if course.motion is Motion.FLUCTUATES:
        return f"rises and falls {span}"
    return f"has not changed beyond rounding {span}"


def _slow(course: Course, evidence: Evidence) -> str | None:
    """Return a sentence on a run that descends, or hardly moves."""
    if course.motion is Motion.UNKNOWN:
        return None
    if course.motion is Motion.STANDS:
        stands = f"has hardly changed over the last {counted(course.epochs, 'epoch')}"
        is_known = evidence.is_rule_known and not math.isnan(evidence.nearness.gap)
        return f"{'moves too slowly: ' if is_known else ''}the objective {stands}"
    speed = (
        f"an epoch of the last {course.latest} lowered the objective by "
        f"{_percent(course.decrease)} on average"
        if evidence.remaining is None
        else f"needs {_rounded(evidence.remaining)} more epochs to converge"
    )
    if course.decrease <= evidence.tolerance and not math.isnan(evidence.nearness.gap):
        known = "moves too slowly for its tolerance: "
        return f"{known if evidence.is_rule_known else ''}{speed}"
    return f"still descending: {speed}"


def _small_rate(evidence: Evidence) -> str | None:
    """Return a sentence on a learning rate that the schedule has lowered, or that is small."""
    stability = evidence.stability
    if evidence.lr < 0.5 * evidence.largest_lr:
        return (
            f"the schedule has lowered the learning rate from {evidence.largest_lr:.3g} to "
            f"{evidence.lr:.3g}"
        )
    if stability is None or not stability.is_known or stability.lr >= SMALL * stability.lowest:
        return None
    share = _percent(stability.lr / stability.lowest)
    return f"the learning rate is {share} of its stability limit {stability.limit_text}"


def gap_to_minimum(evidence: Evidence) -> str | None:
    """Return how far the objective is above its minimum; None if the minimum is not known."""
    minimum, gap = evidence.nearness.minimum, evidence.nearness.gap
    if minimum is None:
        return None
    name = f"its minimum {minimum.value:.6g}" if minimum.is_attained else "its lowest limit 0"
    rounding = ROUNDING * evidence.eps * max(abs(evidence.objective[-1]), abs(minimum.value))
    if gap <= max(rounding, 1e-9 * abs(minimum.value)):
        return f"the objective is at {name}, up to rounding"
    share = gap / minimum.scale
    size = _percent(share) if share < 10 else f"{two_digits(share)} times"
    of = "of " if share < 10 else ""
    return f"the objective is {gap:.3g} above {name}, {size} {of}{minimum.scale_name}"


def _percent(share: float) -> str:
    return f"{two_digits(100 * share)} %"


def _rounded(count: float) -> str:
    """Return a count rounded to two digits."""
    places = max(0, math.floor(math.log10(max(count, 1))) - 1)
    return f"{max(1, round(count, -places)):,.0f}"
