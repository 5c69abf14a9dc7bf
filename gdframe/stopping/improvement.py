"""Improvement: the objective no longer decreases significantly."""

from __future__ import annotations

import math

from gdframe.errors import bad_value
from gdframe.registry import STOPPING
from gdframe.stopping.base import EpochEnd, Memory, Status, StoppingRule, Verdict, epochs_text


@STOPPING.register("improvement")
class Improvement(StoppingRule):
    """Ends a run whose objective has not improved for ``patience`` epochs, near a stationary point.

    If steps see only a part of the rows, a rising objective is noise and counts as no improvement.
    If steps see all rows, it is an oscillation, for example of momentum, and the run has not
    converged. A run that is far from a stationary point has not converged either: the noise of its
    batches keeps it away, or it moves too slowly. It continues. The rule checks it again after
    twice as many epochs without improvement.

    Args:
        tolerance: smallest decrease that counts as an improvement, relative to the best objective;
            None (null in a config) never ends a run.
        patience: number of epochs in a row without improvement, at least 1.

    Raises:
        UserError: a value is out of its range.
    """

    def __init__(self, *, tolerance: float | None = 1e-6, patience: int = 5) -> None:
        if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
            raise bad_value(f"tolerance={tolerance:g}", "a number of at least 0, or null")
        if patience < 1:
            raise bad_value(f"patience={patience}", "a whole number of at least 1")
        self.tolerance, self.patience = tolerance, patience

    def follow(self, memory: Memory, end: EpochEnd) -> bool:
        """Store the best objective and the number of epochs since then."""
        objective, is_start = end.row["objective"], not memory
        epochs = end.epochs_since_last(memory)
        if is_start:
            memory |= {"best": objective, "last": objective, "stale": 0, "rising": 0}
            return False
        tolerance = self.tolerance or 0.0
        moved = abs(objective - memory["last"]) > tolerance * abs(memory["last"])
        if memory["best"] - objective > tolerance * abs(memory["best"]):
            memory["best"], memory["stale"], memory["looks"] = objective, 0, 0
        elif moved and not end.noisy:
            memory["stale"] = 0
        else:
            memory["stale"] += epochs
        memory["rising"] = memory["rising"] + epochs if objective > memory["last"] else 0
        memory["last"] = objective
        return False

    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return a verdict after ``patience`` epochs without improvement or rising objectives."""
        rises = memory["rising"] >= self.patience
        exploding = end.row["objective"] > end.start["objective"] or rises
        looks = memory.get("looks", 0)
        if self.tolerance is None or memory["stale"] < self.patience * 2**looks or exploding:
            return None
        if not end.is_near():
            memory["looks"] = looks + 1
            return None
        return Verdict(
            Status.CONVERGED,
            f"objective improved by less than {self.tolerance:g} (relative) for "
            f"{epochs_text(int(memory['stale']))}",
        )
