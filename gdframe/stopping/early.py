"""Early stopping: the validation loss or metric no longer improves.

The run returns to the parameters of the best epoch (Prechelt, "Early stopping - but when?", 1998).
"""

from __future__ import annotations

import math

from gdframe.errors import bad_value
from gdframe.registry import METRICS, STOPPING
from gdframe.stopping.base import EpochEnd, Memory, Status, StoppingRule, Verdict, epochs_text


@STOPPING.register("early")
class Early(StoppingRule):
    """Ends a run whose validation loss or metric has stopped improving; restores its best epoch.

    Args:
        metric: ``loss``, or the name of a metric that the run measures, such as ``accuracy``.
        patience: number of epochs in a row without improvement, at least 1.
        min_delta: smallest change that counts as an improvement, at least 0.

    Raises:
        UserError: a value is out of its range, or the metric is unknown.
    """

    def __init__(self, *, metric: str = "loss", patience: int = 10, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise bad_value(f"patience={patience}", "a whole number of at least 1")
        if not (math.isfinite(min_delta) and min_delta >= 0):
            raise bad_value(f"min_delta={min_delta:g}", "a number of at least 0")
        self.metric, self.patience, self.min_delta = metric, patience, min_delta
        is_maximized = metric != "loss" and getattr(METRICS.get(metric), "maximize", False)
        self._sign = -1.0 if is_maximized else 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The validation loss, or the metric over validation rows."""
        return ("validation_loss" if self.metric == "loss" else f"validation/{self.metric}",)

    def follow(self, memory: Memory, end: EpochEnd) -> bool:
        """Store the best value and its epoch; return whether the value is the best so far."""
        value, is_start = end.row[self.columns[0]], not memory
        epochs = end.epochs_since_last(memory)
        if not is_start and not self._is_better(value, memory["best"]):
            memory["stale"] += 0 if math.isnan(memory["best"]) else epochs
            return False
        memory |= {"best": value, "epoch": end.epoch, "stale": 0}
        return True

    def _is_better(self, value: float, best: float) -> bool:
        """Return whether a value improves the best one; any number improves NaN."""
        if math.isnan(best):
            return not math.isnan(value)
        return self._sign * (best - value) > self.min_delta

    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return a verdict if the value has not improved for ``patience`` epochs."""
        if memory["stale"] < self.patience:
            return None
        return Verdict(
            Status.CONVERGED,
            f"validation {self.metric} was best at epoch {int(memory['epoch']):,} "
            f"({memory['best']:.6g}) and did not improve for {epochs_text(int(memory['stale']))}; "
            "the parameters are those of that epoch",
            restores_best=True,
        )
