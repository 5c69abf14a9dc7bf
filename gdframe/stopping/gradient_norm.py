"""Gradient norm: the run has reached a stationary point."""

from __future__ import annotations

import math

from gdframe.errors import bad_value
from gdframe.registry import STOPPING
from gdframe.stopping.base import EpochEnd, Memory, Status, StoppingRule, Verdict, epochs_text


@STOPPING.register("gradient_norm")
class GradientNorm(StoppingRule):
    """Ends a run whose gradient norm over all rows is at most a tolerance, near a stationary point.

    A small gradient alone is no proof: where the target is tiny, all gradients are.

    Args:
        tolerance: largest gradient norm, at least 0; None (null in a config) never ends a run.

    Raises:
        UserError: ``tolerance`` is out of its range.
    """

    def __init__(self, *, tolerance: float | None = 1e-10) -> None:
        if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
            raise bad_value(f"tolerance={tolerance:g}", "a number of at least 0, or null")
        self.tolerance = tolerance

    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return a verdict if the gradient norm is at most the tolerance."""
        norm = end.row["gradient_norm"]
        if self.tolerance is None or norm > self.tolerance or not end.is_near():
            return None
        return Verdict(
            Status.CONVERGED,
            f"gradient norm {norm:.3g} is at most {self.tolerance:g} after "
            f"{epochs_text(end.epoch)}",
        )
