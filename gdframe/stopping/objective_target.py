"""Target: the objective has reached a target."""

from __future__ import annotations

import math

from gdframe.errors import bad_value
from gdframe.registry import STOPPING
from gdframe.stopping.base import EpochEnd, Memory, Status, StoppingRule, Verdict, epochs_text


@STOPPING.register("objective")
class ObjectiveTarget(StoppingRule):
    """Ends a run whose objective is at most a target.

    Args:
        target: the objective to reach, a finite number; None (null in a config) never ends a run.

    Raises:
        UserError: ``target`` is not finite.
    """

    def __init__(self, *, target: float | None = None) -> None:
        if target is not None and not math.isfinite(target):
            raise bad_value(f"target={target}", "a finite number, or null")
        self.target = target

    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return a verdict if the objective is at most the target."""
        objective = end.row["objective"]
        if self.target is None or objective > self.target:
            return None
        return Verdict(
            Status.TARGET_REACHED,
            f"objective {objective:.6g} reached the target {self.target:g} in "
            f"{epochs_text(end.epoch)}",
        )
