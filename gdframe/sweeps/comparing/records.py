"""The runs of a sweep with their settings and results, for the comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gdframe.errors import UserError, counted
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import Record
from gdframe.sweeps.comparing.sweep_metric import default_metric
from gdframe.sweeps.executing.job import Job, has_changed, named_metric, read_jobs, read_results


def records_of(
    jobs: Sequence[Job],
    results: Mapping[int, Mapping[str, Any]],
    damages: Mapping[int, str] = MappingProxyType({}),
) -> list[Record]:
    """Return the runs of a sweep with their results.

    A key that only some runs override is a setting of all; the others have its default.

    Args:
        jobs: the runs.
        results: content of ``result.json`` by the number of the run.
        damages: messages on those that are damaged.

    Raises:
        UserError: they override too many different keys.
    """
    all_settings = [settings(job.overrides) for job in jobs]
    keys = keys_of(all_settings)
    if any(len(run_settings) < len(keys) for run_settings in all_settings):
        configs = [job.config for job in jobs]
        for key in keys:
            _fill(key, configs, all_settings)
    return [
        Record({key: run_settings[key] for key in keys if key in run_settings},
               results.get(job.number), str(job.folder), damages.get(job.number, ""))
        for job, run_settings in zip(jobs, all_settings, strict=True)
    ]  # fmt: skip


MANY_KEYS, MOST_SETTINGS = 50, 300_000
"""Up to MANY_KEYS different keys, the number of runs is unlimited. Beyond that, keys times runs is
at most MOST_SETTINGS."""


def keys_of(all_settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the keys that any of the runs of a sweep overrides, in order.

    Raises:
        UserError: they are too many to compare the runs by.
    """
    keys = list(dict.fromkeys(key for run_settings in all_settings for key in run_settings))
    if len(keys) > MANY_KEYS and len(keys) * len(all_settings) > MOST_SETTINGS:
        raise UserError(
            f"a sweep of {counted(len(all_settings), 'run')} that override {len(keys):,} different "
            "keys: there are too many to compare; report its runs one by one"
        )
    return keys


def _fill(
    key: str, configs: Sequence[Mapping[str, Any]], all_settings: Sequence[dict[str, str]]
) -> None:
    """Set a key to its default where it is missing, with the spelling of other runs."""
    if all(key in run_settings for run_settings in all_settings):
        return
    spellings: dict[str, str] = {}
    values = [_value(config, key) for config in configs]
    for run_settings, value in zip(all_settings, values, strict=True):
        if key in run_settings:
            spellings.setdefault(repr(value), run_settings[key])
    for run_settings, value in zip(all_settings, values, strict=True):
        if key not in run_settings and value is not _MISSING:
            default = "null" if value is None else str(value)
            run_settings[key] = spellings.get(repr(value), default)


def _value(config: Mapping[str, Any], key: str) -> Any:
    """Return a value of a config by its dotted key; for a config group, the chosen name."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
    return value.get("name", _MISSING) if isinstance(value, Mapping) else value


_MISSING = object()


def read_records(folder: Path) -> list[Record]:
    """Return the runs in a sweep folder by number.

    Runs that were later continued with another configuration are excluded.

    Raises:
        UserError: the list of runs cannot be read, or has too many keys.
    """
    sweep = SweepFolder(folder)
    if sweep.has_jobs():
        jobs = read_jobs(folder)
        results, damages = read_results(jobs)
        unchanged = [job for job in jobs if not has_changed(job, results.get(job.number))]
        return records_of(unchanged, results, damages)
    results_of_runs = [(run, *run.find_result()) for run in sweep.runs()]
    all_settings = [settings(run.read_overrides()) for run, _, _ in results_of_runs]
    keys_of(all_settings)
    return [
        Record(run_settings, result, str(run), damage)
        for run_settings, (run, result, damage) in zip(all_settings, results_of_runs, strict=True)
    ]


def metric_of(folder: Path, results: Iterable[Mapping[str, Any] | None]) -> str:
    """Return the metric that the runs of a sweep are compared by.

    Args:
        folder: the sweep folder.
        results: content of ``result.json`` of its runs, for the default.

    Raises:
        UserError: the list of runs cannot be read.
    """
    return named_metric(folder) or default_metric(results)


def settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return overrides by key, without those of the sweep itself.

    Example:
        >>> settings(["lr=0.1", "+model.width=3", "sweep.metric=objective"])
        {'lr': '0.1', 'model.width': '3'}
    """
    pairs = (text.lstrip("+~").partition("=") for text in overrides)
    return {key: value for key, _, value in pairs if not key.startswith("sweep.")}
