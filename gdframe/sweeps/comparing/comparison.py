"""Which configuration of a sweep is best, and whether the seeds are enough to say so.

A configuration is what is varied but the seed. Across its seeds it has a mean, a standard deviation
and a bootstrap interval. Levels of a key, such as the variants, are compared in pairs on the seeds
that both have: runs with one seed start from the same point and see rows in the same order, so that
the difference within a seed is what the level makes. On each seed a level is at the configuration
that is its best on all other seeds, so that no seed judges what was chosen by it; and the intervals
of a key's levels hold for all pairs at once, since the winner is chosen among them. What has scales
of its own, such as two losses, is ranked and compared apart.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12 (bootstrap-t
intervals, which hold what they say for few seeds too); Stone, Cross-validatory choice and
assessment of statistical predictions (JRSS B 1974).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.sweeps.comparing.sweep_metric import goes_up, value_of

FEWEST_SEEDS = 6
"""Below this, no difference is beyond chance at 95 %: all signs of 5 agree in 1 of 16 cases."""

MOST_LEVELS = 8
"""Most levels of a key that are compared."""

RESAMPLES, MOST_DRAWS = 9999, 20_000_000
"""Samples of an interval, and most values in all of them."""

SAME = 1e-6
"""Differences below this share of the values are rounding: float32 holds seven digits."""


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

    @cached_property
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
        of: how many there are.
        mean: of the differences, other minus better.
        interval: its 95 % bootstrap interval, for all pairs of the key's levels at once; None with
            too few seeds.
        scale: size of the values.
    """

    key: str
    better: str
    other: str
    problem: dict[str, str]
    seeds: int
    of: int
    mean: float
    interval: tuple[float, float] | None
    scale: float

    @property
    def words(self) -> str:
        """The verdict."""
        some = f" on {self.seeds} of {self.of} seeds" if self.seeds < self.of else ""
        if self.interval is None:
            return f"too few seeds ({self.seeds}; at least {FEWEST_SEEDS})"
        low, high = self.interval
        if max(abs(low), abs(high)) <= SAME * self.scale:
            return f"the same, to rounding{some}"
        return f"{'beyond chance' if low > 0 or high < 0 else 'could be chance'}{some}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        interval = None if self.interval is None else list(self.interval)
        content = {**vars(self), "interval": interval, "verdict": self.words}
        del content["scale"]
        return content


def bootstrap_interval(
    values: Sequence[float], *, scale: float | None = None, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the mean's bootstrap-t interval; None for fewer than six values.

    Args:
        values: of independent seeds.
        scale: spreads that are rounding on this scale count as none; by default the values' size.
        level: how often such an interval holds the mean.

    Example:
        >>> bootstrap_interval([1.0, 2.0, 3.0]) is None
        True
        >>> bootstrap_interval([2.0] * 6)
        (2.0, 2.0)
    """
    if len(values) < FEWEST_SEEDS:
        return None
    given = np.asarray(values)
    count, middle, deviation = len(given), float(given.mean()), float(given.std(ddof=1))
    size = float(np.abs(given).max()) if scale is None else scale
    if deviation <= ROUNDING * size:
        return middle, middle
    resamples = min(RESAMPLES, max(999, MOST_DRAWS // count))
    drawn = given[np.random.default_rng(0).integers(0, count, (resamples, count))]
    spreads = drawn.std(axis=1, ddof=1)
    some = spreads > ROUNDING * deviation  # not one value throughout
    scores = (drawn.mean(axis=1)[some] - middle) / spreads[some]
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(middle - high * deviation), float(middle - low * deviation)


ROUNDING = 1e-13
"""Spreads below this share of the values are those of their last digits."""


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
    sign = -1.0 if goes_up(metric, (record.result for record in records)) else 1.0

    def rank(configuration: Configuration) -> tuple[int, bool, bool, float]:
        mean, problem = configuration.mean, problems[repr(configuration.problem)]
        return problem, math.isnan(mean), configuration.worthless > 0, sign * mean

    return sorted(found.values(), key=rank)


def results_of(found: Sequence[Configuration]) -> Iterator[Mapping[str, Any] | None]:
    """Yield what ``result.json`` of each run of configurations holds."""
    return (record.result for configuration in found for record in configuration.records)


def best(found: Sequence[Configuration]) -> list[Configuration]:
    """Return the best configuration of each problem, of those where one has a value."""
    first: dict[str, Configuration] = {}
    for configuration in found:
        if configuration.values:
            first.setdefault(repr(configuration.problem), configuration)
    return list(first.values())


def differences(found: Sequence[Configuration], metric: str | None) -> list[Difference]:
    """Compare the levels of each varied key with the best one.

    Args:
        found: configurations, best first.
        metric: what they are compared by.
    """
    sign = -1.0 if goes_up(metric, results_of(found)) else 1.0
    problems: dict[str, list[Configuration]] = {}
    for configuration in found:
        problems.setdefault(repr(configuration.problem), []).append(configuration)
    return [difference for one in problems.values() for difference in _within(one, sign)]


def _within(found: Sequence[Configuration], sign: float) -> list[Difference]:
    """Compare the levels of keys within a problem."""
    keys = dict.fromkeys(key for configuration in found for key in configuration.settings)
    seeds = list(dict.fromkeys(seed for configuration in found for seed in configuration.values))
    table = np.array([[c.values.get(seed, math.nan) for seed in seeds] for c in found])
    differences = []
    for key in keys:
        rows: dict[str, list[int]] = {}  # of the table, best first
        for at, configuration in enumerate(found):
            level = configuration.settings.get(key)
            if level is not None and configuration.values:
                rows.setdefault(level, []).append(at)
        if not 2 <= len(rows) <= MOST_LEVELS:
            continue
        pairs = len(rows) * (len(rows) - 1) / 2
        (winner, first), *others = [
            (level, _chosen_elsewhere(table[own], sign)) for level, own in rows.items()
        ]
        for level, values in others:
            gaps = (values - first)[np.isfinite(values) & np.isfinite(first)]
            if len(gaps) < 2:
                continue
            scale = float(np.nanmax(np.abs([values, first])))
            interval = bootstrap_interval(gaps.tolist(), scale=scale, level=1 - 0.05 / pairs)
            differences.append(
                Difference(
                    key, winner, level, found[0].problem, len(gaps), len(seeds),
                    float(gaps.mean()), interval, scale,
                )
            )  # fmt: skip
    return differences


def _chosen_elsewhere(table: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
    """Return for each seed the value of the configuration that is best on all other seeds.

    Args:
        table: values (configurations, seeds), best configuration first; NaN where there is none.
        sign: of what is the better the lower.

    Returns:
        (seeds,), NaN where the chosen configuration has no value.
    """
    there = np.isfinite(table)
    counts = there.sum(axis=1, keepdims=True) - there  # on the others, (configurations, seeds)
    sums = np.where(there, table, 0).sum(axis=1, keepdims=True) - np.where(there, table, 0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), math.inf)
    keys = (sign * means).T, -counts.T  # the last counts most
    chosen = np.lexsort(keys, axis=1)[:, 0]
    found: NDArray[np.float64] = table[chosen, np.arange(table.shape[1])]
    return found
