"""Verdicts with their evidence: why it exploded, how far it had to go, what kind of point it is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.stability import Stability, two_digits
from gdframe.stopping import Status, Verdict

SMALL = 0.2
"""Share of its limit below which a learning rate is called small."""

FARTHEST = 5.0
"""How far the fall of the last epochs is trusted to tell, in times of the epochs done."""

NEAR = 1e-3
"""How far a stationary point may be, by Newton's step, in units of one plus its size."""

ABOVE = 0.01
"""Share of the way to the minimum that is worth a word if it is left."""

FLAT = 1e-6
"""Share of the largest curvature below which a negative one is rounding."""


def explain_divergence(verdict: Verdict, stability: Stability | None) -> Verdict:
    """Say how a run's learning rate stands to its limit."""
    if stability is None or not verdict.advice:  # it was infinite at the start
        return verdict
    if exceeded := stability.exceeded:
        return replace(verdict, advice=exceeded)
    where = "" if stability.everywhere else " where it started, so it met more curvature later"
    if stability.sampled and stability.noisy is None:
        where = " of full batches; smaller ones bear less"
    share = stability.lr / stability.lowest
    lower = f"try {stability.lr / 10:g}"
    return replace(
        verdict,
        advice=(
            f"learning rate {stability.lr:g} is {share:.2g} of the stability limit "
            f"{stability.lowest:.2g}{where}; {lower}"
        ),
    )


def explain_limit(
    verdict: Verdict,
    objective: NDArray[np.float64],
    stability: Stability | None,
    tolerance: float,
    minimum: float | None = None,
    more: float | None = None,
) -> Verdict:
    """Say how far a run that reached its limit of epochs had still to go.

    Where that is not known, the fall of the last epochs tells how far it is at least; a fall that
    has hardly slowed down tells nothing.

    Args:
        verdict: ``max_epochs`` or ``time_limit``.
        objective: by epoch, from the start.
        stability: of its learning rate.
        tolerance: relative improvement of an epoch that counts as none.
        minimum: the lowest objective there is, where that is known.
        more: how many more epochs it would have taken, where that is known.
    """
    parts = []
    at_least = "" if more is not None else "at least "
    if more is None:
        more = epochs_to_go(objective, tolerance)
        if more is not None and more > FARTHEST * len(objective):
            more = None
    if more is not None:
        parts.append(f"still descending: at this rate {at_least}{_rounded(more)} more epochs")
    elif (falls := _falls(objective)) > tolerance:
        parts.append(f"still descending: the last epoch lowered the objective by {_share(falls)}")
    elif minimum is not None and objective[-1] - minimum > 1e-3 * abs(minimum):
        gap = (objective[-1] - minimum) / abs(minimum) if minimum else math.inf
        parts.append(f"the objective is {two_digits(gap)} times above its minimum {minimum:.6g}")
    if stability is not None and stability.lr < SMALL * stability.lowest and parts:
        share = stability.lr / stability.lowest
        parts.append(f"the learning rate is {_share(share)} of its limit {stability.lowest:.2g}")
    return replace(verdict, advice="; ".join(parts)) if parts else verdict


def explain_standstill(
    verdict: Verdict,
    objective: NDArray[np.float64],
    stability: Stability | None,
    minimum: float | None,
    *,
    sampled: bool,
    fell: bool,
) -> Verdict:
    """Say what keeps a run that moves no more from its minimum.

    Args:
        verdict: ``converged``.
        objective: by epoch, from the start.
        stability: of its learning rate.
        minimum: the lowest objective there is, where that is known.
        sampled: whether its updates see only some rows.
        fell: whether its schedule has lowered the learning rate.
    """
    end = float(objective[-1])
    above, left = "", 0.0
    if minimum is not None:
        left = (end - minimum) / max(float(objective[0]) - minimum, 1e-300)
        if left > ABOVE:
            size = f"{_share((end - minimum) / abs(minimum))} " if minimum else f"{end:.3g} "
            above = f"the objective stands {size}above its minimum {minimum:.6g}"
    if not (above or verdict.advice):
        return verdict
    if fell and above:
        return replace(verdict, advice=f"{above}: the learning rate fell before it got there")
    rises = bool((np.diff(objective[-8:]) > 0).any())
    large = stability is not None and stability.lr >= SMALL * stability.lowest
    if sampled and (large or rises):
        noise = "the noise of its batches"
        said = f"{above}: {noise} keeps it there" if above else f"{noise} keeps it from settling"
        return replace(
            verdict,
            advice=f"{said}; a smaller learning rate, larger batches or a falling schedule go on",
        )
    if large:  # too small it is not
        return replace(verdict, advice=above)
    return verdict if verdict.advice else replace(verdict, advice=above)


def is_stationary(
    gradient_norm: float, curvature: float, point: NDArray[np.float64], near: float = NEAR
) -> bool:
    """Say whether a point is a stationary one, or as good as: by Newton's step to it.

    Args:
        gradient_norm: there.
        curvature: the smallest eigenvalue of the Hessian there.
        point: where.
        near: the longest step that counts as none, in units of one plus the point's size.
    """
    return gradient_norm <= near * (1 + float(np.linalg.norm(point))) * abs(curvature)


def explain_point(
    verdict: Verdict, lowest: float, highest: float, known: float | None = None
) -> Verdict:
    """Say what kind of stationary point a run converged to.

    Args:
        verdict: ``converged``.
        lowest: the smallest eigenvalue of the Hessian there.
        highest: the largest.
        known: how far the objective is above the lowest known one, where there is one.
    """
    scale = max(abs(lowest), abs(highest))
    if lowest < -FLAT * scale:
        kind = "maximum" if highest < 0 else "saddle"
        text = f"a stationary point that is a {kind}: lambda_min = {lowest:.3g}"
        return replace(verdict, advice=text + "; start elsewhere")
    if lowest > FLAT * scale:
        above = f", {known:.3g} above the global one" if known is not None and known > 1e-6 else ""
        return replace(verdict, advice=f"a minimum: lambda_min = {lowest:.3g}{above}")
    return verdict


def epochs_to_go(objective: NDArray[np.float64], tolerance: float) -> float | None:
    """Return after how many more epochs an improvement would be below the tolerance.

    The fall over the last tenth of the epochs, beside that over the tenth before, tells by what
    factor it shrinks; None where the objective does not fall in each, or falls no slower.

    Args:
        objective: by epoch.
        tolerance: relative improvement of an epoch.

    Example:
        >>> f = 1 + 0.9 ** np.arange(101.0)
        >>> round(epochs_to_go(f, 1e-8))  # 0.1 * 0.9^(n - 1) < 1e-8 at n = 154
        54
    """
    span = max(2, (len(objective) - 1) // 10)
    if len(objective) < 2 * span + 1 or (np.diff(objective[-2 * span - 1 :]) >= 0).any():
        return None
    before = float(objective[-2 * span - 1] - objective[-span - 1])
    after = float(objective[-span - 1] - objective[-1])
    if not (0 < after < before):
        return None
    shrink = after / before  # of the fall over a span
    end = float(objective[-1]) - after * shrink / (1 - shrink)
    factor = shrink ** (1 / span)
    last = after * (1 - factor) / (1 - shrink) * factor ** (span - 1)  # the fall of the last epoch
    wanted = tolerance * abs(end)
    if wanted <= 0 or last <= wanted:
        return None
    return math.log(wanted / last) / math.log(factor)


def _falls(objective: NDArray[np.float64]) -> float:
    """Return by what share an epoch lowers the objective; zero where the last ones did not all."""
    last = objective[-6:]
    if len(last) < 6 or (np.diff(last) >= 0).any():
        return 0.0
    return float((last[-2] - last[-1]) / max(abs(last[-1]), 1e-300))


def _share(part: float) -> str:
    return f"{two_digits(100 * part)} %"


def _rounded(count: float) -> str:
    """Return a count in two digits."""
    places = max(0, math.floor(math.log10(max(count, 1))) - 1)
    return f"{max(1, round(count, -places)):,.0f}"


EXPLAINED = (Status.DIVERGED, Status.MAX_EPOCHS, Status.TIME_LIMIT, Status.CONVERGED)
"""Statuses that evidence can say more of."""
