"""The number of rates of an automatic search and of their steps, so that it stays cheap.

The cost is estimated, never measured, so that the same run always gets the same rate.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdframe.diagnostics.learning_rate.trials import Trials

SECONDS, SHARE = 0.4, 0.1
"""Most estimated seconds of a search, or share of the run's, whichever is more."""

FEWEST_STEPS = 5
"""Fewest steps of a trial, unless the run has fewer."""


@dataclass(frozen=True)
class Effort:
    """The size of a search.

    Args:
        points: learning rates of the coarse grid.
        finer: learning rates of the grid around the best one.
        steps: of each trial.
    """

    points: int
    finer: int
    steps: int


SIZES = ((40, 12), (24, 8), (16, 6), (10, 4))
"""Points of the coarse grid, and of the finer one, from the largest search to the smallest."""

WHOLE, LONG = 1.0, 0.25
"""Wanted lengths of a trial, as shares of the run. The largest search that reaches WHOLE is run,
else the largest that reaches LONG."""


def effort(trials: Trials) -> Effort:
    """Return the largest search in the budget of whole runs, else of long trials, else a small one.

    A trial of more than two epochs ends with an epoch.
    """
    total, epoch = trials.steps_of_run, trials.loader.steps_per_epoch
    seconds = max(SECONDS, SHARE * trials.seconds(1, total))
    options = []
    for points, finer in SIZES:
        rounds = 1 + (points // 3 + finer) / points
        step = trials.seconds(points, total) / total
        steps = min(total, max(FEWEST_STEPS, int(seconds / rounds / step)))
        whole = steps // epoch * epoch if steps > 2 * epoch else steps
        options.append(Effort(points, finer, whole))
    for share in (WHOLE, LONG):
        for option in options:
            if option.steps >= share * total:
                return option
    return max(options, key=lambda option: option.steps)
