"""The runs of a sweep as they are compared: what distinguishes each, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import Record
from gdframe.sweeps.executing.job import Job, has_gone_on, read_jobs


def records_of(jobs: Sequence[Job], results: Mapping[int, Mapping[str, Any]]) -> list[Record]:
    """Return the runs of a sweep with what they came to.

    What some of them leave at its default and others spell out is a setting of all.

    Args:
        jobs: the runs.
        results: what ``result.json`` of a run holds, by its number.
    """
    chosen = [settings(job.overrides) for job in jobs]
    keys = dict.fromkeys(key for one in chosen for key in one)
    for key in keys:
        if not all(key in one for one in chosen):
            _fill(key, jobs, chosen)
    return [
        Record({key: one[key] for key in keys if key in one}, results.get(job.number),
               str(job.folder))
        for job, one in zip(jobs, chosen, strict=True)
    ]  # fmt: skip


def _fill(key: str, jobs: Sequence[Job], chosen: Sequence[dict[str, str]]) -> None:
    """Set a key where it is left at its default, spelled as where it is not."""
    spelled: dict[str, str] = {}
    values = [_value(job.config, key) for job in jobs]
    for one, value in zip(chosen, values, strict=True):
        if key in one:
            spelled.setdefault(repr(value), one[key])
    for one, value in zip(chosen, values, strict=True):
        if key not in one and value is not _MISSING:
            one[key] = spelled.get(repr(value), "null" if value is None else str(value))


def _value(config: Mapping[str, Any], key: str) -> Any:
    """Return a value of a config by its dotted key, of a group its choice."""
    found: Any = config
    for part in key.split("."):
        found = found.get(part, _MISSING) if isinstance(found, Mapping) else _MISSING
    return found.get("name", _MISSING) if isinstance(found, Mapping) else found


_MISSING = object()


def read_records(folder: Path) -> list[Record]:
    """Return the runs in a sweep's folder, from what they left behind, in order.

    Those that have gone on as other ones than they were asked to be are left out.

    Raises:
        UserError: the sweep's file cannot be read.
    """
    sweep = SweepFolder(folder)
    if sweep.has_jobs():
        jobs = [job for job in read_jobs(folder) if not has_gone_on(job)]
        found = {
            job.number: result
            for job in jobs
            if (result := job.run_folder.read_result()) is not None
        }
        return records_of(jobs, found)
    return [
        Record(settings(run.read_overrides()), run.read_result(), str(run)) for run in sweep.runs()
    ]


def settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return overrides by key, but for those of the sweep itself.

    Example:
        >>> settings(["lr=0.1", "+model.width=3", "sweep.metric=objective"])
        {'lr': '0.1', 'model.width': '3'}
    """
    pairs = (text.lstrip("+~").partition("=") for text in overrides)
    return {key: value for key, _, value in pairs if not key.startswith("sweep.")}
