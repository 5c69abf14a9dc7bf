"""What a stopping rule is: it decides at the end of an epoch that a run is over, and why."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Memory = dict[str, float]
"""What a rule remembers of a run: plain numbers by name, kept in checkpoints."""


class Status(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"
    MAX_EPOCHS = "max_epochs"
    TARGET_REACHED = "target_reached"
    TIME_LIMIT = "time_limit"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """A run is over: how, and why in words with numbers.

    Args:
        status: how it ended.
        reason: what happened, with numbers.
        advice: what to do about it; empty where there is nothing to add.
        restores_best: whether the run returns to the parameters that its rule kept as the best.
    """

    status: Status
    reason: str
    advice: str = ""
    restores_best: bool = False

    def __str__(self) -> str:
        """Reason and advice in one sentence."""
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


@dataclass(frozen=True)
class EpochEnd:
    """What a rule judges: a run at the end of an epoch at which all values are finite.

    Args:
        row: of the history, such as ``objective``, ``gradient_norm``, ``validation/r2``.
        start: the row before the first update.
        epochs: the run's limit.
        lr: its learning rate before any schedule.
        noisy: whether updates see only some of the rows, so that a rising objective may be noise.
    """

    row: Mapping[str, float]
    start: Mapping[str, float]
    epochs: int
    lr: float
    noisy: bool

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return int(self.row["epoch"])


class StoppingRule(ABC):
    """Base of stopping rules. A rule holds settings; what it remembers of a run is its memory.

    Name it by ``@STOPPING.register("NAME")``.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the history that the rule reads besides those that every run has."""
        return ()

    def follow(self, memory: Memory, end: EpochEnd) -> bool:
        """Update the memory, at the start and at the end of each epoch.

        Returns:
            Whether the run's current parameters are the best so far, and are to be kept.
        """
        return False

    @abstractmethod
    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return the verdict that ends the run, or None; called after ``follow``."""

    def judge_time(self, seconds: float) -> Verdict | None:
        """Return the verdict on a run that has trained for some seconds, several times an epoch."""
        return None


def diverged(what: str, value: float, step: int, lr: float, parameter: str | None) -> Verdict:
    """Return the verdict on a run of which a value stopped being finite.

    Args:
        what: ``loss``, ``gradient norm`` or ``objective``.
        value: the first that is not finite.
        step: the update that met it, counted from 1; 0 for the start.
        lr: the learning rate.
        parameter: the first parameter that is not finite, if any is.
    """
    became = "not a number" if math.isnan(value) else "infinite"
    if step == 0:
        reason = f"{what} is {became} at the start, before any update: start closer to zero"
        return Verdict(Status.DIVERGED, reason)
    where = f" (first in parameter '{parameter}')" if parameter else ""
    return Verdict(Status.DIVERGED, f"{what} became {became} at step {step}{where}", smaller_lr(lr))


def smaller_lr(lr: float) -> str:
    """Return the advice to divide the learning rate by ten."""
    return f"learning rate {lr:g} is too large: try {lr / 10:g}"


def epochs_text(count: int) -> str:
    """Return a number of epochs in words: ``1 epoch``, ``5,000 epochs``."""
    return f"{count:,} epoch{'' if count == 1 else 's'}"
