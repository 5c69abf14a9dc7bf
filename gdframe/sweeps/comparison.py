"""Which configuration of a sweep is best, and whether the seeds are enough to say so.

A configuration is what is varied but the seed. Across its seeds it has a mean, a standard deviation
and a bootstrap interval. Levels of a key, such as the variants, are compared in pairs on the seeds
that both have, each level at its best configuration: runs with one seed start from the same point
and see rows in the same order, so that the difference within a seed is what the level makes. What
is measured on different scales, such as two losses, is ranked and compared apart.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 14 (BCa intervals);
Demsar, Statistical comparisons of classifiers over multiple data sets (JMLR 2006).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import numpy as np

from gdframe.sweeps.metric import goes_up, value_of

FEWEST_SEEDS = 6
"""Below this, no difference is beyond chance at 95 %: all signs of 5 agree in 1 of 16 cases."""

MOST_LEVELS = 8
"""Most levels of a key that are compared."""

RESAMPLES = 9999


@dataclass(frozen=True)
class Record:
    """A run of a sweep and what it came to.

    Args:
        settings: its overrides by key.
        result: what its ``result.json`` holds; None if it did not end.
        folder: where it lies.
    """

    settings: Mapping[str, str]
    result: Mapping[str, Any] | None
    folder: str


@dataclass
class Configuration:
    """Runs that differ in their seed alone.

    Args:
        settings: the varied keys but the seed.
        problem: those of them that set the scale on which it is measured.
        values: of the metric by seed, of the runs that have one.
        statuses: how many runs ended how.
        records: the runs.
    """

    settings: dict[str, str]
    problem: dict[str, str] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    records: list[Record] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN where no run has a value."""
        return fmean(self.values.values()) if self.values else math.nan

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds, of two and more."""
        return stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The mean's 95 % bootstrap interval, or None with too few seeds."""
        return bootstrap_interval(list(self.values.values()))

    @property
    def worthless(self) -> int:
        """Seeds without a value: their runs diverged, failed, or did not end."""
        return len({record.settings.get("seed", "") for record in self.records}) - len(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        interval = self.interval
        return {
            "settings": self.settings,
            "runs": len(self.records),
            "statuses": dict(self.statuses),
            "mean": None if math.isnan(self.mean) else self.mean,
            "standard_deviation": self.deviation,
            "interval": None if interval is None else list(interval),
            "too_few_seeds": interval is None,
            "values": self.values,
        }


@dataclass(frozen=True)
class Difference:
    """What one level of a key makes against another, on the seeds that both have.

    Args:
        key: what is varied.
        better: the level with the better mean.
        other: the other level.
        problem: what is the same of both, and sets their scale.
        seeds: how many they share.
        mean: of the differences, other minus better.
        interval: its 95 % bootstrap interval; None with too few seeds.
    """

    key: str
    better: str
    other: str
    problem: dict[str, str]
    seeds: int
    mean: float
    interval: tuple[float, float] | None

    @property
    def words(self) -> str:
        """The verdict."""
        if self.interval is None:
            return f"too few seeds ({self.seeds}; at least {FEWEST_SEEDS})"
        low, high = self.interval
        return "could be chance" if low <= 0 <= high else "beyond chance"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        interval = None if self.interval is None else list(self.interval)
        return {**vars(self), "interval": interval, "verdict": self.words}


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the mean's 95 % BCa bootstrap interval; None for fewer than six values.

    Example:
        >>> bootstrap_interval([1.0, 2.0, 3.0]) is None
        True
        >>> bootstrap_interval([2.0] * 6)
        (2.0, 2.0)
    """
    if len(values) < FEWEST_SEEDS:
        return None
    if min(values) == max(values):
        return values[0], values[0]
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(values),), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def varied(records: Sequence[Record]) -> list[str]:
    """Return the keys that differ among runs, in the order they were given."""
    keys = dict.fromkeys(key for record in records for key in record.settings)
    return [key for key in keys if len({record.settings.get(key) for record in records}) > 1]


def configurations(
    records: Sequence[Record], metric: str | None, scales: Sequence[str] = ()
) -> list[Configuration]:
    """Return the configurations, best first; those with runs without a value come last.

    Args:
        records: the runs.
        metric: what they are compared by.
        scales: keys whose levels are measured on scales of their own, and come one after another.
    """
    keys = [key for key in varied(records) if key != "seed"]
    problems: dict[str, int] = {}
    found: dict[tuple[tuple[str, str], ...], Configuration] = {}
    for record in records:
        chosen = {key: record.settings[key] for key in keys if key in record.settings}
        problem = {key: value for key, value in chosen.items() if key in scales}
        problems.setdefault(repr(problem), len(problems))
        configuration = found.setdefault(tuple(chosen.items()), Configuration(chosen, problem))
        configuration.records.append(record)
        configuration.statuses[str((record.result or {}).get("status", "not ended"))] += 1
        value = None if record.result is None else value_of(record.result, metric)
        if value is not None:
            seed = record.settings.get("seed") or str((record.result or {}).get("seed", 0))
            configuration.values[seed] = value
    sign = -1.0 if goes_up(metric) else 1.0

    def rank(configuration: Configuration) -> tuple[int, bool, bool, float]:
        mean, problem = configuration.mean, problems[repr(configuration.problem)]
        return problem, math.isnan(mean), configuration.worthless > 0, sign * mean

    return sorted(found.values(), key=rank)


def best(found: Sequence[Configuration]) -> list[Configuration]:
    """Return the best configuration of each problem, of those where one has a value."""
    first: dict[str, Configuration] = {}
    for configuration in found:
        if configuration.values:
            first.setdefault(repr(configuration.problem), configuration)
    return list(first.values())


def differences(found: Sequence[Configuration]) -> list[Difference]:
    """Compare the levels of each varied key with the best one, each at its best configuration.

    Args:
        found: configurations, best first.
    """
    problems: dict[str, list[Configuration]] = {}
    for configuration in found:
        problems.setdefault(repr(configuration.problem), []).append(configuration)
    return [difference for one in problems.values() for difference in _within(one)]


def _within(found: Sequence[Configuration]) -> list[Difference]:
    """Compare the levels of keys within a problem."""
    keys = dict.fromkeys(key for configuration in found for key in configuration.settings)
    problem = found[0].problem
    differences = []
    for key in keys:
        tops: dict[str, Configuration] = {}
        for configuration in found:
            level = configuration.settings.get(key)
            if level is not None and configuration.values:
                tops.setdefault(level, configuration)
        if not 2 <= len(tops) <= MOST_LEVELS:
            continue
        (winner, first), *others = tops.items()
        for level, other in others:
            shared = [seed for seed in first.values if seed in other.values]
            if len(shared) < 2:
                continue
            gaps = [other.values[seed] - first.values[seed] for seed in shared]
            differences.append(
                Difference(
                    key, winner, level, problem, len(shared), fmean(gaps), bootstrap_interval(gaps)
                )
            )
    return differences
