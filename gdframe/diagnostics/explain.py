"""Advice from evidence: why a run diverged, how far it had to go, at what point it ended."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.stability import Stability, two_digits
from gdframe.errors import rounded_down
from gdframe.stopping import Verdict

SMALL = 0.2
"""Share of its limit below which a learning rate counts as small."""

NEAR = 1e-3
"""Longest Newton step at a stationary point, in units of one plus the norm of the point."""

ABOVE = 0.01
"""Share of the way to the minimum from which on the gap is mentioned."""

FLAT = 1e-6
"""Share of the largest curvature below which a negative curvature counts as rounding."""


def explain_divergence(
    verdict: Verdict, stability: Stability | None, *, is_at_start: bool
) -> Verdict:
    """Return the verdict with the learning rate compared with its stability limit.

    Args:
        verdict: ``diverged``.
        stability: of its learning rate.
        is_at_start: whether the curvature was measured at the start, and not on the way.
    """
    if stability is None or not verdict.advice:  # the objective was infinite at the start
        return verdict
    if exceeded := stability.exceeded:
        return replace(verdict, advice=exceeded)
    measured = "at the start" if is_at_start else "where the curvature was last measured"
    where = "" if stability.is_constant else f" {measured}, so the curvature was larger later"
    if stability.is_sampled and stability.noisy is None:
        where = " of full batches; smaller batches have a lower limit"
    share = stability.lr / stability.lowest
    return replace(
        verdict,
        advice=(
            f"learning rate {stability.lr:g} is {share:.2g} times the stability limit "
            f"{rounded_down(stability.lowest)}{where}; try {stability.lr / 10:g}"
        ),
    )


def explain_limit(
    verdict: Verdict,
    objective: NDArray[np.float64],
    stability: Stability | None,
    tolerance: float,
    minimum: float | None = None,
    remaining: float | None = None,
) -> Verdict:
    """Return the verdict of a run at its limit of epochs or time, with how far it had to go.

    Args:
        verdict: ``max_epochs`` or ``time_limit``.
        objective: by epoch, from the start.
        stability: of its learning rate.
        tolerance: largest relative improvement of an epoch that counts as no improvement.
        minimum: of the objective, if known.
        remaining: epochs until an epoch improves the objective by less than the tolerance, if
            known.
    """
    parts = []
    if remaining is not None:
        parts.append(
            f"still descending: needs {_rounded(remaining)} more epochs until one improves the "
            f"objective by less than {tolerance:g} (relative)"
        )
    elif (decrease := _last_decrease(objective)) > tolerance:
        parts.append(
            f"still descending: the last epoch lowered the objective by {_percent(decrease)}"
        )
    elif minimum is not None and objective[-1] - minimum > 1e-3 * abs(minimum):
        parts.append(_above_minimum(float(objective[-1]), minimum))
    if stability is not None and stability.lr < SMALL * stability.lowest and parts:
        share = _percent(stability.lr / stability.lowest)
        limit = rounded_down(stability.lowest)
        parts.append(f"the learning rate is {share} of its stability limit {limit}")
    return replace(verdict, advice="; ".join(parts)) if parts else verdict


def explain_standstill(
    verdict: Verdict,
    objective: NDArray[np.float64],
    stability: Stability | None,
    minimum: float | None,
    *,
    is_sampled: bool,
    is_lr_lowered: bool,
) -> Verdict:
    """Return the verdict of a converged run, with what keeps it from the minimum.

    Args:
        verdict: ``converged``.
        objective: by epoch, from the start.
        stability: of its learning rate.
        minimum: of the objective, if known.
        is_sampled: whether a step sees only some rows.
        is_lr_lowered: whether the schedule has lowered the learning rate.
    """
    above = ""
    if minimum is not None:
        gap = float(objective[-1]) - minimum
        if gap / max(float(objective[0]) - minimum, 1e-300) > ABOVE:
            above = _above_minimum(float(objective[-1]), minimum)
    if not (above or verdict.advice):
        return verdict
    if is_lr_lowered and above:
        return replace(verdict, advice=f"{above}: the schedule lowered the learning rate too early")
    has_risen = bool((np.diff(objective[-8:]) > 0).any())
    is_large = stability is not None and stability.lr >= SMALL * stability.lowest
    if is_sampled and (is_large or has_risen):
        noise = "the noise of the batches"
        cause = f"{above}: {noise} keeps it there" if above else f"{noise} keeps it from settling"
        return replace(
            verdict,
            advice=f"{cause}; try a smaller learning rate, larger batches or a decaying schedule",
        )
    if is_large:  # so advice on a small learning rate does not apply
        return replace(verdict, advice=above)
    return verdict if verdict.advice else replace(verdict, advice=above)


def is_stationary(
    gradient_norm: float, curvature: float, point: NDArray[np.float64], near: float = NEAR
) -> bool:
    """Return whether a point is stationary, or one short Newton step away from it.

    Args:
        gradient_norm: at the point.
        curvature: the smallest eigenvalue of the Hessian at the point.
        point: the parameters.
        near: the longest step that counts as none, in units of one plus the norm of the point.
    """
    return gradient_norm <= near * (1 + float(np.linalg.norm(point))) * abs(curvature)


def explain_point(
    verdict: Verdict, smallest: float, largest: float, gap: float | None = None
) -> Verdict:
    """Return the verdict with the kind of stationary point at which a run ended.

    Args:
        verdict: ``converged``.
        smallest: the smallest eigenvalue of the Hessian at the point.
        largest: the largest eigenvalue.
        gap: objective minus the lowest known minimum, if any is known.
    """
    scale = max(abs(smallest), abs(largest))
    if smallest < -FLAT * scale:
        kind = "maximum" if largest < 0 else "saddle"
        text = f"the point is a {kind}, not a minimum: lambda_min = {smallest:.3g}; start elsewhere"
        return replace(verdict, advice=text)
    if smallest > FLAT * scale:
        above = f", {gap:.3g} above the global minimum" if gap is not None and gap > 1e-6 else ""
        return replace(
            verdict, advice=f"the point is a minimum: lambda_min = {smallest:.3g}{above}"
        )
    return verdict


def _last_decrease(objective: NDArray[np.float64]) -> float:
    """Return the relative decrease in the last epoch; zero unless the last five all decreased."""
    last = objective[-6:]
    if len(last) < 6 or (np.diff(last) >= 0).any():
        return 0.0
    return float((last[-2] - last[-1]) / max(abs(last[-1]), 1e-300))


def _above_minimum(objective: float, minimum: float) -> str:
    gap = objective - minimum
    size = _percent(gap / abs(minimum)) if gap < 10 * abs(minimum) else f"{gap:.3g}"
    return f"the objective is {size} above its minimum {minimum:.6g}"


def _percent(share: float) -> str:
    return f"{two_digits(100 * share)} %"


def _rounded(count: float) -> str:
    """Return a count rounded to two digits."""
    places = max(0, math.floor(math.log10(max(count, 1))) - 1)
    return f"{max(1, round(count, -places)):,.0f}"
