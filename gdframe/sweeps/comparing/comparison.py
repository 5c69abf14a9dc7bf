"""The ranking of a sweep's configurations, and the comparison of the levels of each varied key.

Runs of one configuration differ only in their seed. A configuration has a mean, a standard
deviation and a bootstrap interval over its seeds.

The levels of a key, such as the variants, are compared in pairs on the seeds that both have. Runs
with equal seeds have equal starts and row orders, so a difference within a seed is the effect of
the level. For each seed, a level is represented by the configuration that is best on all other
seeds. So no seed is used both to choose and to judge a configuration. The intervals hold for all
pairs of a key's levels together, because the best level is chosen among them. Configurations on
different scales, such as those of two losses, are ranked and compared separately.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12 (bootstrap-t
intervals, which have the right coverage for few seeds too); Stone, Cross-validatory choice and
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
"""Fewest seeds for an interval at 95 %: all signs of 5 differences agree in 1 of 16 cases."""

MOST_LEVELS = 8
"""Most levels of a key to compare."""

RESAMPLES, MOST_DRAWS = 9999, 20_000_000
"""Resamples of an interval, and most values in all of them."""

SAME = 1e-6
"""Differences below this share of the values count as rounding: float32 has seven digits."""

ROUNDING = 1e-13
"""Standard deviations below this share of the values count as rounding."""


@dataclass(frozen=True)
class Record:
    """A run of a sweep with its result.

    Args:
        settings: overrides by key.
        result: content of ``result.json``; None if the run has not ended, or it is damaged.
        folder: the run folder.
        damage: a message if ``result.json`` is damaged.
    """

    settings: Mapping[str, str]
    result: Mapping[str, Any] | None
    folder: str
    damage: str = ""

    @property
    def status(self) -> str:
        """Return the run's status, in one or two words."""
        if self.result is None:
            return "damaged" if self.damage else "not ended"
        return str(self.result["status"])


@dataclass
class Configuration:
    """Runs that differ only in their seed.

    Args:
        settings: values of the varied keys, without the seed.
        problem: the settings that determine the scale of the metric.
        values: of the metric by seed, for runs that have a value.
        statuses: number of runs by status.
        records: the runs.
    """

    settings: dict[str, str]
    problem: dict[str, str] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    records: list[Record] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN if no run has a value."""
        return fmean(self.values.values()) if self.values else math.nan

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds; None for fewer than two."""
        return stdev(self.values.values()) if len(self.values) > 1 else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of the mean; None with too few seeds."""
        return bootstrap_interval(list(self.values.values()))

    @property
    def seeds_without_value(self) -> int:
        """Number of seeds without a value: their runs diverged, failed, or did not end."""
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
    """The difference between two levels of a key, on the seeds that both have.

    Args:
        key: the varied key.
        better: the level with the better mean.
        other: the other level.
        problem: the settings that determine the scale of both levels.
        seeds: number of shared seeds.
        all_seeds: number of all seeds.
        mean: of the differences, other minus better.
        interval: 95 % bootstrap interval of the mean, for all pairs of the key's levels together;
            None with too few seeds.
        scale: largest absolute value.
    """

    key: str
    better: str
    other: str
    problem: dict[str, str]
    seeds: int
    all_seeds: int
    mean: float
    interval: tuple[float, float] | None
    scale: float

    @property
    def words(self) -> str:
        """The verdict in words."""
        seeds = f" on {self.seeds} of {self.all_seeds} seeds" if self.seeds < self.all_seeds else ""
        if self.interval is None:
            return f"too few seeds ({self.seeds}, needs at least {FEWEST_SEEDS})"
        low, high = self.interval
        if max(abs(low), abs(high)) <= SAME * self.scale:
            return f"equal up to rounding{seeds}"
        return f"{'beyond chance' if low > 0 or high < 0 else 'could be chance'}{seeds}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "key": self.key,
            "better": self.better,
            "other": self.other,
            "problem": self.problem,
            "seeds": self.seeds,
            "of": self.all_seeds,
            "mean": self.mean,
            "interval": None if self.interval is None else list(self.interval),
            "verdict": self.words,
        }


def bootstrap_interval(
    values: Sequence[float], *, scale: float | None = None, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the bootstrap-t interval of the mean; None for fewer than six values.

    Args:
        values: of independent seeds.
        scale: size of the values, to detect rounding; by default the largest absolute value.
        level: probability that the interval contains the mean.

    Example:
        >>> bootstrap_interval([1.0, 2.0, 3.0]) is None
        True
        >>> bootstrap_interval([2.0] * 6)
        (2.0, 2.0)
    """
    if len(values) < FEWEST_SEEDS:
        return None
    array = np.asarray(values)
    count, mean, deviation = len(array), float(array.mean()), float(array.std(ddof=1))
    size = float(np.abs(array).max()) if scale is None else scale
    if deviation <= ROUNDING * size:
        return mean, mean
    resamples = min(RESAMPLES, max(999, MOST_DRAWS // count))
    samples = array[np.random.default_rng(0).integers(0, count, (resamples, count))]
    deviations = samples.std(axis=1, ddof=1)
    is_spread = deviations > ROUNDING * deviation  # a sample may repeat one value
    scores = (samples.mean(axis=1)[is_spread] - mean) / deviations[is_spread]
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(mean - high * deviation), float(mean - low * deviation)


def varied(records: Sequence[Record]) -> list[str]:
    """Return the keys whose values differ among runs, in order."""
    keys = dict.fromkeys(key for record in records for key in record.settings)
    return [key for key in keys if len({record.settings.get(key) for record in records}) > 1]


def configurations(
    records: Sequence[Record], metric: str | None, scales: Sequence[str] = ()
) -> list[Configuration]:
    """Return the configurations, best first; those with runs without a value come last.

    Args:
        records: the runs.
        metric: to compare the runs by.
        scales: keys whose levels have different scales; each scale is ranked separately.
    """
    keys = [key for key in varied(records) if key != "seed"]
    problems: dict[str, int] = {}
    by_settings: dict[tuple[tuple[str, str], ...], Configuration] = {}
    for record in records:
        settings = {key: record.settings[key] for key in keys if key in record.settings}
        problem = {key: value for key, value in settings.items() if key in scales}
        problems.setdefault(repr(problem), len(problems))
        configuration = by_settings.setdefault(
            tuple(settings.items()), Configuration(settings, problem)
        )
        configuration.records.append(record)
        configuration.statuses[record.status] += 1
        value = None if record.result is None else value_of(record.result, metric)
        if value is not None:
            seed = record.settings.get("seed") or str((record.result or {}).get("seed", 0))
            configuration.values[seed] = value
    sign = -1.0 if goes_up(metric, (record.result for record in records)) else 1.0

    def rank(configuration: Configuration) -> tuple[int, bool, bool, float]:
        mean, problem = configuration.mean, problems[repr(configuration.problem)]
        return problem, math.isnan(mean), configuration.seeds_without_value > 0, sign * mean

    return sorted(by_settings.values(), key=rank)


def results_of(ranked: Sequence[Configuration]) -> Iterator[Mapping[str, Any] | None]:
    """Return the content of ``result.json`` of each run of configurations."""
    return (record.result for configuration in ranked for record in configuration.records)


def best(ranked: Sequence[Configuration]) -> list[Configuration]:
    """Return the best configuration of each problem that has a value."""
    first: dict[str, Configuration] = {}
    for configuration in ranked:
        if configuration.values:
            first.setdefault(repr(configuration.problem), configuration)
    return list(first.values())


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
    return [difference for group in problems.values() for difference in _differences(group, sign)]


def _differences(ranked: Sequence[Configuration], sign: float) -> list[Difference]:
    """Return the differences between levels within one problem."""
    keys = dict.fromkeys(key for configuration in ranked for key in configuration.settings)
    seeds = list(dict.fromkeys(seed for configuration in ranked for seed in configuration.values))
    table = np.array([[c.values.get(seed, math.nan) for seed in seeds] for c in ranked])
    differences = []
    for key in keys:
        rows: dict[str, list[int]] = {}  # rows of the table by level, best first
        for row, configuration in enumerate(ranked):
            level = configuration.settings.get(key)
            if level is not None and configuration.values:
                rows.setdefault(level, []).append(row)
        if not 2 <= len(rows) <= MOST_LEVELS:
            continue
        pairs = len(rows) * (len(rows) - 1) / 2
        (winner, best_values), *others = [
            (level, _cross_validated(table[level_rows], sign)) for level, level_rows in rows.items()
        ]
        for level, values in others:
            gaps = (values - best_values)[np.isfinite(values) & np.isfinite(best_values)]
            if len(gaps) < 2:
                continue
            scale = float(np.nanmax(np.abs([values, best_values])))
            interval = bootstrap_interval(gaps.tolist(), scale=scale, level=1 - 0.05 / pairs)
            differences.append(
                Difference(
                    key, winner, level, ranked[0].problem, len(gaps), len(seeds),
                    float(gaps.mean()), interval, scale,
                )
            )  # fmt: skip
    return differences


def _cross_validated(table: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
    """Return for each seed the value of the configuration that is best on all other seeds.

    Args:
        table: values (configurations, seeds), best configuration first; NaN without a value.
        sign: 1 if lower values are better, -1 if greater values are.

    Returns:
        (seeds,), NaN where that configuration has no value.
    """
    has_value = np.isfinite(table)
    counts = has_value.sum(axis=1, keepdims=True) - has_value  # other seeds with a value
    sums = np.where(has_value, table, 0).sum(axis=1, keepdims=True) - np.where(has_value, table, 0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), math.inf)
    keys = (sign * means).T, -counts.T  # lexsort sorts by the last key first
    rows = np.lexsort(keys, axis=1)[:, 0]
    values: NDArray[np.float64] = table[rows, np.arange(table.shape[1])]
    return values
