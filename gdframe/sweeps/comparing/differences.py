"""The differences between the levels of each varied key of a sweep.

The levels of a key, such as the variants, are compared in pairs on the seeds that both have. Runs
with equal seeds have equal starts and row orders, so a difference within a seed is the effect of
the level. Each level is represented by its best configuration, such as its best learning rate.
The test is that of ``sign_flips.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gdframe.sweeps.comparing.comparison import Configuration, results_of
from gdframe.sweeps.comparing.sign_flips import CHANCE, FEWEST_SEEDS, Array, contrasts, p_values
from gdframe.sweeps.comparing.sweep_metric import goes_up

MOST_LEVELS = 8
"""Most levels of a key to compare."""


@dataclass(frozen=True)
class Difference:
    """The difference between the best level of a key and another level.

    Args:
        key: the varied key.
        winner: the best configuration of the better level.
        loser: the best configuration of the other level.
        values: of the winner, (seeds,): lower is better, infinite for a lost run.
        other_values: of the loser, (seeds,), on the same seeds.
        all_seeds: number of all seeds.
        sign: -1 if greater values of the metric are better, else 1.
        p: of the sign-flip test, for all pairs of the key's levels together.
    """

    key: str
    winner: Configuration
    loser: Configuration
    values: Array
    other_values: Array
    all_seeds: int
    sign: float
    p: float

    @property
    def better(self) -> str:
        """The level with the better configuration."""
        return self.winner.settings[self.key]

    @property
    def other(self) -> str:
        """The other level."""
        return self.loser.settings[self.key]

    @property
    def problem(self) -> Mapping[str, str]:
        """The settings that determine the scale of both levels."""
        return self.winner.problem

    @property
    def seeds(self) -> int:
        """Number of seeds of which both levels have an ended run."""
        return len(self.values)

    @property
    def gaps(self) -> Array:
        """Differences of the metric, other minus better, on seeds where neither run is lost."""
        is_finite = np.isfinite(self.values) & np.isfinite(self.other_values)
        gaps: Array = self.sign * (self.other_values[is_finite] - self.values[is_finite])
        return gaps

    @property
    def mean(self) -> float:
        """Mean of the gaps; NaN if there are none."""
        return float(self.gaps.mean()) if len(self.gaps) else math.nan

    @property
    def lost(self) -> tuple[int, int]:
        """Numbers of lost runs of the better level and of the other."""
        return int(np.isinf(self.values).sum()), int(np.isinf(self.other_values).sum())

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of seeds on which the other level is worse, equal and better."""
        signs = np.sign(contrasts(self.other_values, self.values)[0])
        return int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum())

    @property
    def is_one_run(self) -> bool:
        """Tell whether the seeds change nothing on both sides, so that each is one run."""
        return self.winner.seeds_change_nothing and self.loser.seeds_change_nothing

    @property
    def is_tested(self) -> bool:
        """Tell whether chance can be judged: enough seeds that change something."""
        return self.seeds >= FEWEST_SEEDS and not self.is_one_run

    @property
    def words(self) -> str:
        """The verdict in words."""
        name = f"{self.winner.repeat}s"
        seeds = f" on {self.seeds} of {self.all_seeds} {name}" * (self.seeds < self.all_seeds)
        if self.counts[1] == self.seeds and sum(self.lost) == 0:
            return f"equal up to rounding{seeds}"
        if self.is_one_run:
            return f"one run each, because the {name} change nothing"
        if not self.is_tested:
            return f"too few {name} ({self.seeds}, needs at least {FEWEST_SEEDS})"
        return f"{'beyond chance' if self.p <= CHANCE else 'could be chance'}{seeds}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        worse, equal, better = self.counts
        return {
            "key": self.key,
            "better": self.better,
            "other": self.other,
            "settings": {"better": self.winner.settings, "other": self.loser.settings},
            "problem": dict(self.problem),
            "seeds": self.seeds,
            "of": self.all_seeds,
            "mean": None if math.isnan(self.mean) else self.mean,
            "worse": worse,
            "equal": equal,
            "better_on": better,
            "lost": {"better": self.lost[0], "other": self.lost[1]},
            "p": self.p if self.is_tested else None,
            "verdict": self.words,
        }


def differences(ranked: Sequence[Configuration], metric: str | None) -> list[Difference]:
    """Return the differences between the best level of each varied key and the others.

    Args:
        ranked: configurations, best first.
        metric: to compare the runs by.
    """
    sign = -1.0 if goes_up(metric, results_of(ranked)) else 1.0
    problems: dict[str, list[Configuration]] = {}
    for configuration in ranked:
        problems.setdefault(repr(configuration.problem), []).append(configuration)
    return [
        difference
        for group in problems.values()
        for key in dict.fromkeys(key for configuration in group for key in configuration.settings)
        for difference in _differences(key, group, sign)
    ]


def _differences(key: str, ranked: Sequence[Configuration], sign: float) -> list[Difference]:
    """Return the differences between levels of a key within one problem."""
    levels: dict[str, list[Configuration]] = {}  # best first, and so are their configurations
    for configuration in ranked:
        level = configuration.settings.get(key)
        if level is not None and (configuration.values or configuration.lost):
            levels.setdefault(level, []).append(configuration)
    if not 2 <= len(levels) <= MOST_LEVELS or not any(c.values for c in ranked):
        return []
    seeds = list(dict.fromkeys(s for c in ranked for s in (*c.values, *c.lost)))
    if len(seeds) < 2:
        return []
    tables = [_table(group, seeds, sign) for group in levels.values()]
    best, *others = [group[0] for group in levels.values()]
    compared = []
    for configuration, table, p in zip(others, tables[1:], p_values(tables), strict=True):
        is_shared = ~(np.isnan(tables[0][0]) | np.isnan(table[0]))
        if is_shared.sum() >= 2:
            values = tables[0][0][is_shared], table[0][is_shared]
            compared.append(
                Difference(key, best, configuration, *values, len(seeds), sign, float(p))
            )
    return compared


def _table(level: Sequence[Configuration], seeds: Sequence[str], sign: float) -> Array:
    """Return the values of a level's configurations with the most ended seeds, best first."""
    table = np.array([configuration.by_seed(seeds, sign) for configuration in level])
    ended = (~np.isnan(table)).sum(axis=1)
    ended[0] = ended.max()  # the best represents the level
    rows: Array = table[ended == ended.max()]
    return rows
