"""Divergence: the objective has grown far beyond its start."""

from __future__ import annotations

from gdframe.errors import bad_value
from gdframe.registry import STOPPING
from gdframe.stopping.base import (
    EpochEnd,
    Memory,
    Status,
    StoppingRule,
    Verdict,
    epochs_text,
    smaller_lr,
)


@STOPPING.register("divergence")
class Divergence(StoppingRule):
    """Ends a run whose objective exceeds ``factor`` times its start.

    Values that are not finite end a run without any rule.

    Args:
        factor: largest ratio of objective and start, above 1.

    Raises:
        UserError: ``factor`` is out of its range.
    """

    def __init__(self, *, factor: float = 1e6) -> None:
        if not factor > 1:
            raise bad_value(f"factor={factor:g}", "a number above 1")
        self.factor = factor

    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return a verdict if the objective exceeds ``factor`` times its start."""
        objective, start = end.row["objective"], end.start["objective"]
        if start == 0 or objective <= self.factor * abs(start):
            return None
        return Verdict(
            Status.DIVERGED,
            f"objective grew to {objective:.4g}, {objective / abs(start):.2g} times its "
            f"start {start:.4g}, in {epochs_text(end.epoch)}",
            smaller_lr(end.lr),
        )
