"""The course of one trial: what it measures at each epoch's end, and how it ends.

A trial ends as its run would, by the stopping rules of the run, and returns to its best parameters
where a rule says so: a rate at which a run stops early must not be judged by what it would reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from gdframe.stopping import EpochEnd, Memory, Status, Stopping
from gdframe.stopping.rule_set import RuleError

Row = Mapping[str, float]

LATEST = 10
"""One in so many epochs, the last, is checked: if the objective rises there, its highest counts."""


@dataclass(frozen=True, order=True)
class Trial:
    """The result of a learning rate.

    Args:
        lr: the learning rate.
        objective: over all training rows at the end; where full batches let it rise in the last
            tenth of the epochs, the highest there, so that a trial that only passes a low value is
            not mistaken for one that stays; NaN if the trial diverged.
        validation_loss: likewise; None without validation rows.
    """

    lr: float
    objective: float
    validation_loss: float | None

    @property
    def held_out(self) -> float:
        """The validation loss; the objective without one, infinite if it is not finite."""
        value = self.objective if self.validation_loss is None else self.validation_loss
        return value if math.isfinite(value) else math.inf


class RunningTrial:
    """A trial while it is trained.

    Args:
        lr: its learning rate.
        stopping: rules that end it; None for none.
        start: its evaluation before the first step.
        epochs: of the run.
        noisy: whether steps see only a part of the rows.
        is_near: whether the point of a row is near a stationary point, which rules ask before they
            call a run converged.

    Attributes:
        has_ended: whether a rule or a value that is not finite has ended it.
    """

    def __init__(
        self,
        lr: float,
        stopping: Stopping | None,
        start: Row,
        *,
        epochs: int,
        noisy: bool,
        is_near: Callable[[Row], bool],
    ) -> None:
        self.lr, self._stopping, self._start, self._epochs = lr, stopping, start, epochs
        self._noisy, self._is_near = noisy, is_near
        self.has_ended, self._is_restored = False, False
        self._memories: dict[str, Memory] = {}
        self._best: dict[str, Row] = {}
        self._last, self._objectives = start, list[float]()
        self._judge(start)

    def end_epoch(self, row: Row) -> None:
        """Judge the end of an epoch."""
        self._last = row
        if not (math.isfinite(row["objective"]) and math.isfinite(row["gradient_norm"])):
            self.diverge()
        else:
            self._objectives.append(row["objective"])
            self._judge(row)

    def diverge(self) -> None:
        """End the trial: a step was not finite."""
        self._last, self.has_ended = {**self._last, "objective": math.nan}, True

    def _judge(self, row: Row) -> None:
        if self._stopping is None:
            return
        is_near = partial(self._is_near, row)
        end = EpochEnd(row, self._start, self._epochs, self.lr, self._noisy, is_near)
        try:
            self._best |= dict.fromkeys(self._stopping.follow(self._memories, end), row)
            verdict, name = self._stopping.judge(self._memories, end)
        except RuleError:  # the run itself will tell
            self._stopping = None
            return
        if verdict is None or name is None:
            return
        if verdict.status == Status.DIVERGED:
            self.diverge()
        self.has_ended = True
        if verdict.restores_best and name in self._best:
            self._last, self._is_restored = self._best[name], True

    def trial(self) -> Trial:
        """Return what the learning rate reached."""
        objective = self._last["objective"]
        count = len(self._objectives) // LATEST
        if count and not (self._is_restored or self._noisy):
            latest = self._objectives[-count:]
            objective = max(objective, *latest) if max(latest) > latest[0] else objective
        return Trial(self.lr, objective, self._last.get("validation_loss"))
