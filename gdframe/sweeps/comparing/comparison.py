"""The ranking of a sweep's configurations by a metric.

Runs of one configuration repeat it: they differ only in their seed, in the seed of the split, or in
the fold that validates. In the code, "seed" is any of the three. Configurations on different
scales, such as those of two losses, are ranked separately. A run that diverged, failed, or missed
the target that its cost is measured to, is lost: configurations are ranked by their share of lost
runs, then by their mean over the other seeds.
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

from gdframe.sweeps.comparing.intervals import mean_interval
from gdframe.sweeps.comparing.sign_flips import FEWEST_SEEDS, SAME, order
from gdframe.sweeps.comparing.sweep_metric import goes_up, is_lost, value_of

MEASURES = ("objective", "train_loss", "validation_loss", "gradient_norm", "steps", "point")
"""Fields of a result that agree for two seeds only if these train in the same way."""

REPEATS = {"seed": "seed", "data.seed": "data seed", "data.fold": "fold"}
"""Keys whose values repeat a configuration, and what a user calls one of them."""


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
    """Runs that differ only in their seed, or in another key of ``REPEATS``.

    Args:
        settings: values of the varied keys, without those.
        problem: the settings that determine the scale of the metric.
        values: of the metric by seed, for runs that have a value.
        lost: seeds of runs that ended without a value.
        statuses: number of runs by status.
        records: the runs.
        repeat: what a user calls that in which they differ.
    """

    settings: dict[str, str]
    problem: dict[str, str] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    records: list[Record] = field(default_factory=list)
    repeat: str = "seed"

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN if no run has a value."""
        return fmean(self.values.values()) if self.values else math.nan

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds; None for fewer than two."""
        return stdev(self.values.values()) if len(self.values) > 1 else None

    @cached_property
    def seeds_change_nothing(self) -> bool:
        """Tell whether several seeds trained alike, as full batches from a zero start do."""
        results = [record.result or {} for record in self.records]
        first = results[0] if results else {}
        return len(self.values) > 1 and all(
            _is_same(result.get(name), first.get(name)) for result in results for name in MEASURES
        )

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean; None with too few seeds or lost runs.

        The mean of the runs that are left would be that of the lucky ones.
        """
        if self.lost or self.seeds_change_nothing:
            return None
        return mean_interval(list(self.values.values()))

    @property
    def no_interval(self) -> str:
        """The reason why the mean has no interval, in words; empty if it has one."""
        if self.interval is not None or not self.values:
            return ""
        if self.seeds_change_nothing:
            return f"one run: the {self.repeat}s change nothing"
        if self.lost:
            return f"{len(self.lost)} of {len(self.lost) + len(self.values)} runs lost"
        return f"too few {self.repeat}s: {len(self.values)}"

    def by_seed(self, seeds: Sequence[str], sign: float = 1.0) -> NDArray[np.float64]:
        """Return the values for seeds, (seeds,): infinite for a lost run, NaN for no run.

        Args:
            seeds: the seeds, in order.
            sign: a factor of the values, -1 if greater values are better.
        """
        lost = dict.fromkeys(self.lost, math.inf)
        values = {seed: sign * value for seed, value in self.values.items()}
        return np.array([values.get(seed, lost.get(seed, math.nan)) for seed in seeds])

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
            "too_few_seeds": len(self.values) < FEWEST_SEEDS,
            "seeds_change_nothing": self.seeds_change_nothing,
            "lost": len(self.lost),
            "values": self.values,
        }


def _is_same(value: Any, other: Any) -> bool:
    """Return whether two numbers, or two lists of numbers, agree up to rounding."""
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_is_same, value, other))
    if isinstance(value, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(value, other, rel_tol=SAME)
    return bool(value == other)


def varied(records: Sequence[Record]) -> list[str]:
    """Return the keys whose values differ among runs, in order."""
    keys = dict.fromkeys(key for record in records for key in record.settings)
    return [key for key in keys if len({record.settings.get(key) for record in records}) > 1]


def configurations(
    records: Sequence[Record], metric: str | None, scales: Sequence[str] = ()
) -> list[Configuration]:
    """Return the configurations, best first; those that have lost runs come last.

    Args:
        records: the runs.
        metric: to compare the runs by.
        scales: keys whose levels have different scales; each scale is ranked separately.
    """
    all_keys = varied(records)
    keys = [key for key in all_keys if key not in REPEATS]
    repeats = [key for key in REPEATS if key in all_keys]
    repeat = REPEATS[repeats[0]] if len(repeats) == 1 else "repeat" if repeats else "seed"
    problems: dict[str, int] = {}
    by_settings: dict[tuple[tuple[str, str], ...], Configuration] = {}
    for record in records:
        settings = {key: record.settings[key] for key in keys if key in record.settings}
        problem = {key: value for key, value in settings.items() if key in scales}
        problems.setdefault(repr(problem), len(problems))
        configuration = by_settings.setdefault(
            tuple(settings.items()), Configuration(settings, problem, repeat=repeat)
        )
        configuration.records.append(record)
        configuration.statuses[record.status] += 1
        _add(configuration, record, metric)
    sign = -1.0 if goes_up(metric, (record.result for record in records)) else 1.0

    def rank(configuration: Configuration) -> tuple[int, tuple[float, bool, float]]:
        values = configuration.by_seed(_seeds_of(configuration), sign)
        return problems[repr(configuration.problem)], order(values)

    return sorted(by_settings.values(), key=rank)


def _add(configuration: Configuration, record: Record, metric: str | None) -> None:
    """Add a run's value of the metric to its configuration, or count the run as lost."""
    if record.result is None:
        return
    value = value_of(record.result, metric)
    if value is not None:
        configuration.values[_seed_of(record)] = value
    elif is_lost(record.result, metric):
        configuration.lost.add(_seed_of(record))


def _seed_of(record: Record) -> str:
    """Return what tells a run from others of its configuration."""
    seed = record.settings.get("seed") or str((record.result or {}).get("seed", 0))
    others = [record.settings[key] for key in REPEATS if key != "seed" and key in record.settings]
    return " ".join([seed, *others])


def _seeds_of(configuration: Configuration) -> list[str]:
    """Return the seeds of a configuration's runs, whether ended or not."""
    return list(dict.fromkeys(map(_seed_of, configuration.records)))


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


def winner(configuration: Configuration, metric: str | None) -> Record:
    """Return the run that represents a configuration.

    It is the first that has a value; for functions, whose seeds are starts, the best.
    """
    records = configuration.records
    values = [value_of(record.result or {}, metric) for record in records]
    indices = [index for index, value in enumerate(values) if value is not None]
    if not indices:
        return records[0]
    if not any((record.result or {}).get("point") for record in records):
        return records[indices[0]]
    sign = -1.0 if goes_up(metric, results_of([configuration])) else 1.0
    return records[min(indices, key=lambda index: sign * (values[index] or 0.0))]
