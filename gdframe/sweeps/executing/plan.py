"""Which runs of a sweep are trained together: those of one structure, as many as memory holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gdframe.config.build import load_data, needs_no_data
from gdframe.config.prepare import prepare
from gdframe.config.validation import check
from gdframe.data.dataset import Dataset
from gdframe.engines.auto import build_engine
from gdframe.engines.base import Problem
from gdframe.engines.structure import difference
from gdframe.errors import UserError
from gdframe.runs.checkpoint_file import Capture
from gdframe.sweeps.executing.job import Job
from gdframe.training.run_spec import RunSpec

MOST_FILES = 512
"""Most runs of a batch that each keep a file of events open."""

MEMORY_SHARE = 0.25
"""Share of the machine's memory that a batch may take."""

MOST_DATASETS = 4
"""Datasets that are kept loaded."""


class Datasets:
    """Loads each dataset once, and keeps the last few."""

    def __init__(self) -> None:
        self._kept: dict[str, Dataset] = {}

    def load(self, config: Mapping[str, Any]) -> Dataset:
        """Return the data that a config names."""
        key = self.key(config)
        found = self._kept.pop(key, None)
        if found is None:
            found = load_data(config)
            while len(self._kept) >= MOST_DATASETS:
                del self._kept[next(iter(self._kept))]
        self._kept[key] = found  # the last in line to go
        return found

    @staticmethod
    def key(config: Mapping[str, Any]) -> str:
        """Return what tells data apart."""
        data = None if needs_no_data(config) else config["data"]
        return repr((data, config["dtype"], config["device"]))


@dataclass
class Group:
    """Runs that may be trained together.

    Args:
        key: the settings they share.
        first: the first of them; the others differ from it in values alone.
        jobs: the runs.
        bytes: memory that one takes, roughly.
        watched: whether each keeps a file open.
    """

    key: str
    first: Problem
    jobs: list[Job]
    bytes: int
    watched: bool


def plan(jobs: Sequence[Job], datasets: Datasets, *, most: int | None = None) -> list[list[Job]]:
    """Check every run by building it once, and put those of one structure into batches.

    Args:
        jobs: the runs.
        datasets: where they get their data.
        most: most runs of a batch; by default what memory holds.

    Raises:
        UserError: the first run that cannot be trained, by its number and overrides.
    """
    if most is not None and not (isinstance(most, int) and most >= 1):
        raise UserError(f"batch={most}: expected a whole number of at least 1, or null")
    groups: list[Group] = []
    batches = []
    for job in jobs:
        try:
            _sort_in(job, groups, datasets)
        except UserError as error:
            raise UserError(f"{job.name}: {error}" if len(jobs) > 1 else str(error)) from error
        except Exception:  # of a component from elsewhere: it fails alone, when its turn comes
            batches.append([job])
    for group in groups:
        held = max(1, int(_memory() * MEMORY_SHARE) // group.bytes)
        size = min(most or (MOST_FILES if group.watched else held), held)
        parts = -(-len(group.jobs) // size)
        batches += [group.jobs[i::parts] for i in range(parts)]
    return batches


def _sort_in(job: Job, groups: list[Group], datasets: Datasets) -> None:
    config = job.config
    check(config)
    spec = prepare(config, job.run_folder, datasets.load).spec
    settings = ("loader", "batch_size", "engine", "epochs")
    start = starting_point(job)
    begun = None if start is None else (start.facts["step"], start.facts["engine"])
    key = repr((Datasets.key(config), [config[name] for name in settings], begun))
    for group in groups:
        if group.key == key and difference(group.first, spec.problem) is None:
            group.jobs.append(job)
            return
    name = config["engine"]["name"]
    if name != "auto":  # which finds another one
        build_engine(name, [spec.problem], spec.data, spec.loader, epochs=config["epochs"])
    groups.append(Group(key, spec.problem, [job], _bytes(spec), config["logging"]["tensorboard"]))


def starting_point(job: Job) -> Capture | None:
    """Return the newest checkpoint of a run that was begun before, or None."""
    return job.run_folder.load_checkpoint()[0]


def _bytes(spec: RunSpec) -> int:
    """Return roughly what a run takes in a batch: parameters, states and activations."""
    parameters = list(spec.model.parameters())
    values = 10 * sum(p.numel() for p in parameters)
    values += 4 * spec.loader.batch_size * sum(p.shape[0] for p in parameters if p.ndim)
    return max(1, 8 * values)


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not known here
        return 1 << 33
