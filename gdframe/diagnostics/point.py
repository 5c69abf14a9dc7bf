"""The kind of the stationary point at which a run ended: minimum, saddle or maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-6
"""Share of the largest curvature below which a curvature counts as rounding."""


def is_stationary(
    gradient_norm: float, curvature: float, point: NDArray[np.float64], near: float
) -> bool:
    """Return whether a point is stationary, or one short Newton step away from it.

    Args:
        gradient_norm: at the point.
        curvature: the smallest eigenvalue of the Hessian at the point.
        point: the parameters.
        near: the longest step that counts as none, in units of one plus the norm of the point.
    """
    return gradient_norm <= near * (1 + float(np.linalg.norm(point))) * abs(curvature)


def kind_of_point(smallest: float, largest: float, gap: float | None = None) -> str | None:
    """Return a sentence on the kind of a stationary point; None if its curvature decides nothing.

    Args:
        smallest: the smallest eigenvalue of the Hessian at the point.
        largest: the largest eigenvalue.
        gap: objective minus the lowest known minimum, if any is known.
    """
    scale = max(abs(smallest), abs(largest))
    if smallest < -FLAT * scale:
        kind = "maximum" if largest < -FLAT * scale else "saddle"
        return f"the point is a {kind}, not a minimum: lambda_min = {smallest:.3g}; start elsewhere"
    if smallest > FLAT * scale:
        above = f", {gap:.3g} above the global minimum" if gap is not None and gap > 1e-6 else ""
        return f"the point is a minimum: lambda_min = {smallest:.3g}{above}"
    return None
