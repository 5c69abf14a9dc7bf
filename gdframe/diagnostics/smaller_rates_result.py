"""The outcome of smaller learning rates in a trial, and the one to take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gdframe.errors import counted


@dataclass(frozen=True)
class SmallerRatesResult:
    """The outcome of trials of smaller learning rates.

    Args:
        rates: learning rates, ascending.
        objectives: of each after ``steps`` steps; infinite where a step was not finite.
        start: objective before the first step.
        steps: number of steps.
    """

    rates: list[float]
    objectives: list[float]
    start: float
    steps: int

    @property
    def best_index(self) -> int | None:
        """The learning rate that lowered the objective most, with a margin to those that fail.

        The largest one that trains counts only if it is the only one.
        """
        good = 0
        while good < len(self.rates) and self.objectives[good] < self.start:
            good += 1
        return min(range(max(1, good - 1)), key=self.objectives.__getitem__) if good else None

    @property
    def lowest(self) -> float:
        """Objective that the best one reached; infinite if none lowered it."""
        return math.inf if self.best_index is None else self.objectives[self.best_index]

    def __str__(self) -> str:
        """Return the advice to take the best one."""
        steps, best = counted(self.steps, "step"), self.best_index
        if best is None:
            return (
                f"none of {len(self.rates)} learning rates from {self.rates[0]:.3g} to "
                f"{self.rates[-1]:.3g} lowered the objective in {steps}"
            )
        return (
            f"try {self.rates[best]:.3g}, which lowered the objective from {self.start:.4g} to "
            f"{self.objectives[best]:.4g} in {steps}"
        )
