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

FLAT = 1e-6
"""Share of the largest curvature below which a negative one is rounding."""


def explain_divergence(verdict: Verdict, stability: Stability | None) -> Verdict:
    """Say how a run's learning rate stands to its limit."""
    if stability is None or not verdict.advice:  # it was infinite at the start
        return verdict
    if exceeded := stability.exceeded:
        return replace(verdict, advice=exceeded)
    where = "" if stability.everywhere else " where it started, so it met more curvature later"
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

    Args:
        verdict: ``max_epochs`` or ``time_limit``.
        objective: by epoch, from the start.
        stability: of its learning rate.
        tolerance: relative improvement of an epoch that counts as none.
        minimum: the lowest objective there is, where that is known.
        more: how many more epochs it would have taken, where that is known.
    """
    parts = []
    more = epochs_to_go(objective, tolerance) if more is None else more
    if more is not None:
        parts.append(f"still descending: at this rate {_rounded(more)} more epochs")
    elif (falls := _falls(objective)) > tolerance:
        parts.append(f"still descending: the last epoch lowered the objective by {_share(falls)}")
    elif minimum is not None and objective[-1] - minimum > 1e-3 * abs(minimum):
        gap = (objective[-1] - minimum) / abs(minimum) if minimum else math.inf
        parts.append(f"the objective is {two_digits(gap)} times above its minimum {minimum:.6g}")
    if stability is not None and stability.lr < SMALL * stability.lowest and parts:
        share = stability.lr / stability.lowest
        parts.append(f"the learning rate is {_share(share)} of its limit {stability.lowest:.2g}")
    return replace(verdict, advice="; ".join(parts)) if parts else verdict


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
    factor it shrinks; None where the objective does not fall, or falls no slower than before.

    Args:
        objective: by epoch.
        tolerance: relative improvement of an epoch.

    Example:
        >>> f = 1 + 0.9 ** np.arange(101.0)
        >>> round(epochs_to_go(f, 1e-8))  # 0.1 * 0.9^(n - 1) < 1e-8 at n = 154
        54
    """
    span = max(2, (len(objective) - 1) // 10)
    if len(objective) < 2 * span + 1:
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
    return f"{100 * part:.2g} %"


def _rounded(count: float) -> str:
    """Return a count in two digits."""
    places = max(0, math.floor(math.log10(max(count, 1))) - 1)
    return f"{max(1, round(count, -places)):,.0f}"


EXPLAINED = (Status.DIVERGED, Status.MAX_EPOCHS, Status.TIME_LIMIT, Status.CONVERGED)
"""Statuses that evidence can say more of."""
