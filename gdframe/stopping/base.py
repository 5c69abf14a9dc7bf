"""The base class of stopping rules, which decide at the end of an epoch that a run is over."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gdframe.errors import UserError, counted, in_words

Memory = dict[str, float]
"""A rule's memory of a run: numbers by name, saved in checkpoints."""


class Status(StrEnum):
    """The status of a run that has ended."""

    CONVERGED = "converged"
    MAX_EPOCHS = "max_epochs"
    TARGET_REACHED = "target_reached"
    TIME_LIMIT = "time_limit"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """The status of a run that is over, with reason and advice.

    Args:
        status: how the run ended.
        reason: why it ended, with numbers.
        advice: what to do, or an empty text.
        restores_best: whether the run returns to the parameters that its rule saved as the best.

    Raises:
        UserError: the status is none of ``Status``.
    """

    status: Status
    reason: str
    advice: str = ""
    restores_best: bool = False

    def __post_init__(self) -> None:
        """Check the status.

        Raises:
            UserError: there is no such status.
        """
        if self.status not in list(Status):
            raise UserError(f"status={self.status!r}: expected one of {in_words(Status)}")
        object.__setattr__(self, "status", Status(self.status))

    def __str__(self) -> str:
        """Return reason and advice in one sentence."""
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


@dataclass(frozen=True)
class EpochEnd:
    """A run at the end of an epoch that is evaluated, with finite values, which rules judge.

    Args:
        row: the evaluation: ``objective``, ``gradient_norm``, ``validation/r2`` and so on.
        start: the evaluation before the first step.
        epochs: the run's limit on epochs.
        lr: the learning rate before any schedule.
        noisy: whether steps see only a part of the rows, so that a rising objective may be noise.
        is_near: computes whether the parameters are near a stationary point of the objective. By
            default they count as near.
    """

    row: Mapping[str, float]
    start: Mapping[str, float]
    epochs: int
    lr: float
    noisy: bool
    is_near: Callable[[], bool] = lambda: True

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return int(self.row["epoch"])

    def epochs_since_last(self, memory: Memory) -> int:
        """Return the epochs since the last call for a memory, which is updated; at first 1."""
        epochs = self.epoch - memory.get("epoch_seen", self.epoch - 1)
        memory["epoch_seen"] = self.epoch
        return int(epochs)


class StoppingRule(ABC):
    """Base class of stopping rules. A rule holds settings; its memory of a run is separate.

    ``@STOPPING.register("NAME")`` registers a rule.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the history that the rule needs and that not every run has."""
        return ()

    def follow(self, memory: Memory, end: EpochEnd) -> bool:
        """Update the memory, at the start and at the end of each epoch that is evaluated.

        Returns:
            Whether the run's current parameters are the best so far and must be saved.
        """
        return False

    @abstractmethod
    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return the verdict that ends the run, or None; called after ``follow``."""

    def judge_time(self, seconds: float) -> Verdict | None:
        """Return the verdict on the training time, or None; called several times an epoch."""
        return None


def divergence_verdict(
    what: str, value: float, step: int, lr: float, parameter: str | None
) -> Verdict:
    """Return the verdict on a run with a value that is not finite.

    Args:
        what: ``loss``, ``gradient norm`` or ``objective``.
        value: the first value that is not finite.
        step: the step of that value, counted from 1; 0 for the start.
        lr: the learning rate.
        parameter: name of the first parameter that is not finite, if any.
    """
    became = "not a number" if math.isnan(value) else "infinite"
    if step == 0:
        reason = f"{what} is {became} at the start, before any update: start closer to zero"
        return Verdict(Status.DIVERGED, reason)
    where = f" (first in parameter '{parameter}')" if parameter else ""
    return Verdict(Status.DIVERGED, f"{what} became {became} at step {step}{where}", smaller_lr(lr))


TRY_SMALLER = ": try a smaller one"
"""The end of the general advice, which diagnostics replace by a learning rate."""


def smaller_lr(lr: float) -> str:
    """Return the general advice to lower the learning rate."""
    return f"learning rate {lr:g} is too large{TRY_SMALLER}"


def epochs_text(count: int) -> str:
    """Return a number of epochs as text: ``1 epoch``, ``5,000 epochs``."""
    return counted(count, "epoch")
