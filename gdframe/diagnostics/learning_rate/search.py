"""The search for a learning rate that trains well within the epochs of a run.

Rounds of trials, each one run group: a coarse grid; larger or smaller rates while the best one is
at an edge; then a finer grid around the best one. Among the rates whose objective is nearly the
lowest, the one with the lowest validation loss is chosen. Rates are rounded before they are tried,
so that the rate that is chosen was itself tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gdframe.diagnostics.learning_rate.trial_course import Trial
from gdframe.diagnostics.learning_rate.trials import Trials
from gdframe.diagnostics.stability import Stability

LOW, HIGH = 1e-5, 10.0
"""Range of the coarse grid if the stability limit is unknown."""

SPAN = (1e-4, 4.0)
"""Range of the coarse grid as multiples of the stability limit, if it is known."""

LEAST, MOST = 1e-12, 1e4
"""Learning rates beyond which the range is not extended."""

NEAR, FAR, NOTHING = 0.015, 0.05, 1e-7
"""Margins above the lowest objective. NEAR is a share of it or of the fall, whichever is less. FAR
is a share of the fall, where the validation loss decides. NOTHING is a share of the fall that
counts as equal, since an objective near zero has no best rate."""

ZERO = 1e-4
"""Share of the start up to which an objective counts as zero: larger rates have nothing to gain."""

ROUNDS = 8
"""Most rounds that extend the range."""

DIGITS = 3
"""Significant digits of a learning rate that is tried."""


@dataclass(frozen=True)
class Range:
    """The learning rates that a search begins with.

    Args:
        low: the smallest.
        high: the largest.
        limit: above which no rate is tried again, such as a stability limit; infinite if unknown.
        is_fixed: whether the range may not be extended.
    """

    low: float
    high: float
    limit: float = math.inf
    is_fixed: bool = False


def default_range(stability: Stability | None) -> Range:
    """Return the range to begin with.

    Args:
        stability: limits of the learning rate at the start; None if unknown. Only a limit that is
            the same at every point bounds the rates.
    """
    if stability is None:
        return Range(LOW, HIGH)
    limit = stability.lowest
    most = limit if stability.is_constant else math.inf
    return Range(SPAN[0] * limit, SPAN[1] * limit, most)


def rounded(lr: float) -> float:
    """Return a learning rate with few significant digits."""
    return float(f"{lr:.{DIGITS}g}")


def grid(low: float, high: float, points: int) -> list[float]:
    """Return rounded learning rates between two, ascending, in equal ratios."""
    return sorted({rounded(lr) for lr in np.geomspace(low, high, points).tolist()})


class Search:
    """A search for a learning rate.

    Args:
        trials: trains runs.
        steps: of each trial.
        limits: where to begin.

    Attributes:
        tried: all trials, by ascending learning rate.
    """

    def __init__(self, trials: Trials, steps: int, limits: Range) -> None:
        self._trials, self.steps, self.limits = trials, steps, limits
        self.tried: list[Trial] = []

    def run(self, points: int, finer: int) -> None:
        """Try learning rates.

        Args:
            points: of the coarse grid.
            finer: of the grid around the best rate; 0 for none.
        """
        low, high = self.limits.low, self.limits.high
        ratio = (high / low) ** (1 / (points - 1))
        self._try(grid(low, high, points))
        for _ in range(0 if self.limits.is_fixed else ROUNDS):
            further = self._beyond(ratio, max(3, points // 3))
            if not further:
                break
            self._try(further)
        best = self.best
        if best is None or not finer or self.limits.is_fixed:
            return
        # the neighbours of the best rate are tried already
        self._try(grid(best.lr / ratio, best.lr * ratio, finer + 2)[1:-1])

    def confirm(self, count: int, seconds: float) -> None:
        """Train the best trials again as runs, which may end earlier as converged.

        Args:
            count: how many trials with the lowest objectives are trained so.
            seconds: most estimated seconds for which they are trained one by one. Each is then what
                a run with its rate gives: where rounding decides, it differs in a run group.
        """
        is_alone = count * self._trials.seconds(1, self.steps) <= seconds
        confirmed: set[float] = set()
        for _ in range(ROUNDS):
            best = sorted(self.usable, key=lambda trial: trial.objective)[:count]
            doubtful = [trial.lr for trial in best if trial.lr not in confirmed]
            if not doubtful:
                break
            for rates in [[lr] for lr in doubtful] if is_alone else [doubtful]:
                self._train(rates, as_runs=True)
            confirmed |= {*doubtful}

    def _try(self, rates: Sequence[float]) -> None:
        known = {trial.lr for trial in self.tried}
        self._train([lr for lr in rates if lr not in known])

    def _train(self, rates: list[float], *, as_runs: bool = False) -> None:
        """Train a trial with each learning rate, in place of one that had it before."""
        if len(rates) == 1 and not as_runs:  # a run group has several runs
            rates = [*rates, rounded(rates[0] * 0.9)]
        others = [trial for trial in self.tried if trial.lr not in rates]
        if rates:
            again = self._trials.train(rates, self.steps, as_runs=as_runs)
            self.tried = sorted([*others, *again])

    @property
    def usable(self) -> list[Trial]:
        """The trials up to the limit that lowered the objective."""
        return [
            trial
            for trial in self.tried
            if trial.lr <= self.limits.limit and trial.objective < self._trials.start
        ]

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest objective, or None if no rate lowers it."""
        return min(self.usable, key=lambda trial: trial.objective, default=None)

    def _beyond(self, ratio: float, count: int) -> list[float]:
        """Return rates beyond the edge at which the best one is; none if it is at no edge."""
        lowest, highest = self.tried[0], self.tried[-1]
        best = self.best
        if best is None:
            all_diverge = all(self._trials.has_diverged(trial) for trial in self.tried)
            go_up = not all_diverge and not self._trials.has_diverged(highest)
            go_down = not go_up
        else:
            is_zero = 0 <= best.objective <= ZERO * self._trials.start  # separable classes
            go_up, go_down = best.lr == highest.lr and not is_zero, best.lr == lowest.lr
        if go_up and highest.lr < min(MOST, self.limits.limit):
            return grid(highest.lr * ratio, highest.lr * ratio**count, count)
        if go_down and lowest.lr > LEAST:
            return grid(lowest.lr / ratio**count, lowest.lr / ratio, count)
        return []

    @property
    def too_large(self) -> float | None:
        """The lowest learning rate from which on all diverge; None if none does."""
        edge = None
        for trial in reversed(self.tried):
            if not self._trials.has_diverged(trial):
                break
            edge = trial.lr
        return edge

    @property
    def safe(self) -> float:
        """The largest learning rate that is chosen: a longer run diverges at smaller rates."""
        edge = self.too_large
        is_whole = self.steps >= self._trials.steps_of_run
        return math.inf if edge is None or is_whole else edge / 2

    def by_objective(self) -> Trial | None:
        """Return the trial with nearly the lowest objective that does best on held-out rows.

        The result is None if no rate lowers the objective.
        """
        return self._among(lambda lowest, fall: NEAR * min(abs(lowest), fall))

    def by_validation(self) -> Trial | None:
        """Return the trial with the lowest validation loss of those that fell nearly the furthest.

        Without validation rows, the result is that of ``by_objective``.
        """
        if self._trials.data.validation is None:
            return self.by_objective()
        return self._among(lambda lowest, fall: FAR * fall)

    def _among(self, margin: Callable[[float, float], float]) -> Trial | None:
        """Return the best trial on held-out rows of those whose objective is nearly the lowest.

        Args:
            margin: how far an objective may be above the lowest, by that and the fall to it.
        """
        best = self.best
        if best is None:
            return None
        fall = self._trials.start - best.objective
        highest = best.objective + max(margin(best.objective, fall), NOTHING * fall)
        near = [trial for trial in self.usable if trial.objective <= highest]
        safe = [trial for trial in near if trial.lr <= self.safe]
        return min(safe or near[:1], key=lambda trial: (trial.held_out, trial.lr))
