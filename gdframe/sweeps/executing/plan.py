"""Sorts the runs of a sweep into run groups: runs of one structure that fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gdframe.config.observers import OBSERVER_KEYS, check_observer_settings
from gdframe.config.prepare import prepare
from gdframe.config.validation import check
from gdframe.engines.auto import build_engine
from gdframe.engines.component_difference import first_difference
from gdframe.engines.structure import difference
from gdframe.errors import UserError, bad_value
from gdframe.memory import free_memory
from gdframe.runs.checkpoint_file import Capture
from gdframe.runs.start_anew import refuse_start_anew
from gdframe.sweeps.comparing.sweep_metric import check_measured
from gdframe.sweeps.executing.class_memory import ClassMemory
from gdframe.sweeps.executing.datasets import Datasets
from gdframe.sweeps.executing.job import Job, check_readable
from gdframe.training.run_spec import RunSpec

MOST_FILES = 512
"""Most runs of a run group in which each run keeps an event file open."""

MEMORY_SHARE, MOST_MEMORY = 0.25, 1 << 40
"""Share of the free memory that a run group may take, and most bytes that count as free."""


@dataclass
class Structure:
    """Runs of one structure.

    Args:
        key: settings that the runs share.
        first: the first run; the others have the same structure.
        jobs: the runs.
        bytes: approximate memory of one run.
        has_event_files: whether each run keeps an event file open.
        measured: columns of metrics that the runs measure.
    """

    key: str
    first: RunSpec
    jobs: list[Job]
    bytes: int
    has_event_files: bool
    measured: Sequence[str]


def plan(
    jobs: Sequence[Job],
    datasets: Datasets,
    memory: ClassMemory,
    *,
    most: int | None = None,
    metric: str | None = None,
) -> list[list[Job]]:
    """Check every run by building it once; return the runs in run groups.

    Args:
        jobs: the runs.
        datasets: loads the data of the runs.
        memory: what the classes of components keep; a run that changes it is in no group.
        most: most runs of a run group; by default as many as fit in memory.
        metric: that the runs are compared by.

    Raises:
        UserError: a run cannot be trained; the message names its number and overrides. Or no run
            measures the metric.
    """
    if most is not None and not (isinstance(most, int) and most >= 1):
        raise bad_value(f"batch={most}", "a whole number of at least 1, or null")
    structures: list[Structure] = []
    groups = []
    watched: list[Any] = []  # settings of observers that were checked: most runs share theirs
    for job in jobs:
        try:
            check(job.config)
            if (settings := [job.config[key] for key in OBSERVER_KEYS]) not in watched:
                check_observer_settings(job.config)
                watched.append(settings)
            _sort_in(job, structures, datasets, memory)
        except UserError as error:
            raise UserError(f"{job.name}: {error}" if len(jobs) > 1 else str(error)) from error
        except Exception:  # of a user's component: the run fails alone when it is trained
            groups.append([job])
        finally:
            memory.restore()
    if structures and not groups:
        check_measured(metric, (column for item in structures for column in item.measured))
    check_readable(jobs)
    available = min(free_memory(), MOST_MEMORY) * MEMORY_SHARE
    for structure in structures:
        fitting = max(1, int(available // structure.bytes))
        size = min(most or (MOST_FILES if structure.has_event_files else fitting), fitting)
        parts = -(-len(structure.jobs) // size)
        groups += [structure.jobs[i::parts] for i in range(parts)]
    return groups


def _sort_in(
    job: Job, structures: list[Structure], datasets: Datasets, memory: ClassMemory
) -> None:
    config = job.config
    spec = prepare(config, job.run_folder, datasets.load).spec
    settings = ("loader", "batch_size", "engine", "epochs")
    start = starting_point(job)
    if start is None:
        refuse_start_anew(job.run_folder)
    position = None if start is None else (start.facts["step"], start.facts["engine"])
    alone = job.number if memory.has_changed() else None  # its classes are not as others need them
    key = repr((Datasets.key(config), [config[name] for name in settings], position, alone))
    for structure in structures:
        if structure.key == key and _are_alike(structure.first, spec):
            structure.jobs.append(job)
            return
    name = config["engine"]["name"]
    if name != "auto":  # auto chooses an engine that can execute the run
        build_engine(name, [spec.problem], spec.data, spec.loader, epochs=config["epochs"])
    logging = config["logging"]
    has_event_files = logging["tensorboard"] and logging["runs"] == "all"
    structures.append(Structure(key, spec, [job], _bytes(spec), has_event_files, spec.measured))


def _are_alike(a: RunSpec, b: RunSpec) -> bool:
    """Return whether two runs can share problem, data and loader, which may draw when built."""
    return (
        a.data.encoding.target_scale == b.data.encoding.target_scale
        and first_difference(a.loader, b.loader) is None
        and difference(a.problem, b.problem) is None
    )


def starting_point(job: Job) -> Capture | None:
    """Return the newest checkpoint of a run, or None."""
    return job.run_folder.load_checkpoint()[0]


def _bytes(spec: RunSpec) -> int:
    """Return the approximate memory of a run: parameters, states and activations."""
    parameters = list(spec.model.parameters())
    values = 10 * sum(p.numel() for p in parameters)
    values += 4 * spec.loader.batch_size * sum(p.shape[0] for p in parameters if p.ndim)
    return max(1, 8 * values)
