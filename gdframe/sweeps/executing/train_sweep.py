"""Trains a sweep from jobs to results; reuses the runs that were trained before."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gdframe.config.computation_digest import computation_digest
from gdframe.config.folders import refuse_run, refuse_taken
from gdframe.config.trusted_plugins import digests
from gdframe.errors import counted
from gdframe.interrupt import interruptible
from gdframe.runs.sweep_folder import SweepFolder, job_number
from gdframe.sweeps.comparing.sweep_metric import check_metric
from gdframe.sweeps.executing.class_memory import ClassMemory
from gdframe.sweeps.executing.datasets import Datasets
from gdframe.sweeps.executing.execute import Execution
from gdframe.sweeps.executing.job import (
    Job,
    has_changed,
    has_ended,
    read_jobs,
    repair_config,
    whole_results,
    write_jobs,
)
from gdframe.sweeps.executing.job_rates import with_rates
from gdframe.sweeps.executing.plan import plan, starting_point
from gdframe.sweeps.executing.sweep_progress import SweepProgress
from gdframe.sweeps.writing.mean_curves import Curves

log = logging.getLogger("gdframe")


@dataclass(frozen=True)
class SweepOutcome:
    """The results of a sweep.

    Args:
        jobs: every run in the sweep folder, also of earlier launches.
        requested: the runs of this launch, in order, with their folders.
        results: content of ``result.json`` of each run that ended, by number.
        interrupted: whether a signal stopped the sweep.
        curves: curves of the runs of this launch.
        changed: numbers of the runs in the folder that are excluded: their data have changed, or
            they were resumed with other settings.
    """

    jobs: list[Job]
    requested: list[Job]
    results: dict[int, Mapping[str, Any]]
    interrupted: bool
    curves: Curves
    changed: frozenset[int] = frozenset()


def train_sweep(
    folder: Path,
    jobs: Sequence[Job] | None,
    *,
    most: int | None = None,
    metric: str | None = None,
    reuse: bool = False,
    show: bool = True,
    before: SweepOutcome | None = None,
    plugins: Sequence[str] = (),
) -> SweepOutcome:
    """Train the runs of a sweep; runs of one structure train together.

    Args:
        folder: the sweep folder.
        jobs: the requested runs; None stands for the runs of the folder.
        most: most runs of a run group; by default as many as fit in memory.
        metric: metric that the runs are compared by; by default validation loss or objective.
        reuse: whether to reuse the runs that ended in this folder before.
        show: whether to draw a progress bar if standard error is a terminal.
        before: the results so far, for a sweeper that requests runs repeatedly.
        plugins: loaded ones, which replace those of the folder's runs that have their file names.

    Raises:
        UserError: a run cannot be trained; no run was trained.
        OSError: a folder cannot be written to.
    """
    check_metric(metric)
    datasets, memory = Datasets(), ClassMemory()
    if jobs is None:
        known = [job.with_plugins(plugins) for job in read_jobs(folder)]
        on_other_data = frozenset[int]()
        known_results = whole_results(known)
        changed = frozenset(
            job.number for job in known if has_changed(job, known_results.get(job.number))
        )
        if not changed and any(not has_ended(known_results.get(job.number)) for job in known):
            changed = on_other_data = _on_other_data(known, known_results, datasets)
        known = requested = [
            replace(
                job,
                is_excluded=job.number in on_other_data
                or (job.is_excluded and job.number in changed),
            )
            for job in known
        ]
    else:
        jobs = with_rates(jobs, datasets, memory)
        has_jobs = SweepFolder(folder).has_jobs()
        if reuse and not has_jobs:
            refuse_run(folder)
        known = read_jobs(folder) if reuse and has_jobs else []
        known_results = whole_results(known)
        changed = frozenset(
            job.number
            for job in known
            if not _is_unchanged(job, known_results.get(job.number), datasets)
        )
        # the changed runs keep their folders, but the sweep excludes them
        known = [job for job in known if job.number not in changed]
        requested = _reused(folder, jobs, known) if reuse else list(jobs)
    earlier = before.jobs if before else []
    all_jobs = list({job.number: job for job in (*earlier, *known, *requested)}.values())
    results = {
        job.number: known_results[job.number]
        for job in known
        if has_ended(known_results.get(job.number))
    } | (before.results if before else {})
    done = results.keys() | changed  # a run that was resumed with other settings keeps them
    pending = list({job.number: job for job in requested if job.number not in done}.values())
    new = {job.number for job in pending} - {job.number for job in known}
    refuse_taken(job.folder for job in pending if job.number in new)
    groups = plan(pending, datasets, memory, most=most, metric=metric)
    folder.mkdir(parents=True, exist_ok=True)
    with SweepFolder(folder).lock(), patient_collector(), interruptible() as stop:
        for job in known:
            job.run_folder.remove_unfinished()
            repair_config(job)
        _warn_of_changed_plugins(folder, all_jobs, results)
        write_jobs(folder, all_jobs, metric)
        trained = sum(job.number in results for job in requested)
        log.info("%s", announcement(len(pending), trained, groups))
        if automatic := sum(bool(job.lr_reason) for job in pending):
            log.info("lr=auto: a learning rate for each of %s", counted(automatic, "run"))
        allow_files(2 * max(map(len, groups), default=0))
        with SweepProgress(pending, metric, show=show) as display:
            curves = before.curves if before else Curves()
            execution = Execution(datasets, stop, display, curves, memory)
            execution.train(groups)
    results |= execution.results
    # the signal is read last: from here on Ctrl-C raises again
    return SweepOutcome(all_jobs, requested, results, stop() is not None, curves, changed)


def _reused(folder: Path, jobs: Sequence[Job], known: Sequence[Job]) -> list[Job]:
    """Return for each run the equal run in the folder, or the run with a new number."""
    numbers = [n for path in folder.glob("*") if (n := job_number(path.name)) is not None]
    if not known and not numbers:
        return list(jobs)
    by_digest = {computation_digest(job.config): job for job in known}
    number = 1 + max([*(job.number for job in known), *numbers])
    reused = []
    for job in jobs:
        key = computation_digest(job.config)
        if key not in by_digest:
            by_digest[key] = replace(job, number=number, folder=_new_folder(job, folder, number))
            number += 1
        reused.append(by_digest[key])
    return reused


def _new_folder(job: Job, folder: Path, number: int) -> Path:
    """Return the folder of an added run: its folder if that is new and not a number."""
    is_usable = job.folder.name != str(job.number) and not job.folder.exists()
    return job.folder if is_usable else folder / str(number)


def _on_other_data(
    jobs: Sequence[Job], results: Mapping[int, Mapping[str, Any]], datasets: Datasets
) -> frozenset[int]:
    """Return the numbers of the runs that ended on other data than those that are left have."""
    digests: dict[str, str] = {}
    changed = set()
    for job in jobs:
        result = results.get(job.number)
        stored = None if result is None else result.get("data_digest")
        if stored is None or not has_ended(result):
            continue
        key = datasets.key(job.config)
        if key not in digests:
            digests[key] = datasets.load(job.config).digest
        if stored != digests[key]:
            changed.add(job.number)
    if changed:
        log.warning(
            "warning: the data have changed since %s ended: the sweep excludes %s",
            counted(len(changed), "run"), "it" if len(changed) == 1 else "them",
        )  # fmt: skip
    return frozenset(changed)


def _warn_of_changed_plugins(
    folder: Path, jobs: Sequence[Job], results: Mapping[int, Mapping[str, Any]]
) -> None:
    """Warn of plugins whose text has changed since runs of the sweep ended with them."""
    sweep = SweepFolder(folder)
    if not results or not sweep.has_jobs():
        return
    before = {Path(name).name: digest for name, digest in sweep.read_plugins().items()}
    used = dict.fromkeys(plugin for job in jobs for plugin in job.config["plugins"])
    for plugin, digest in digests(list(used)).items():
        if before.get(Path(plugin).name, digest) != digest:
            log.warning(
                "warning: plugin %s has changed since %s ended: they are compared with runs of "
                "another version; train them again in a new sweep",
                plugin, counted(len(results), "run"),
            )  # fmt: skip


def _is_unchanged(job: Job, result: Mapping[str, Any] | None, datasets: Datasets) -> bool:
    """Return whether the run in a job's folder, if any, has the job's settings and data.

    A run that was resumed to more epochs has other settings. A data file can change.
    """
    if has_changed(job, result):
        return False
    stored = None if result is None else result.get("data_digest")
    if stored is None or not has_ended(result):  # it resumes from its checkpoint, if any
        start = starting_point(job)
        stored = stored if start is None else start.facts["data"]
    return stored is None or bool(stored == datasets.load(job.config).digest)


@contextmanager
def patient_collector() -> Iterator[None]:
    """Collect cyclic garbage less often: most objects of a sweep stay."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


GARBAGE = 200_000
"""New objects between two collections; Python's default, 700, takes a fifth of the time."""


def announcement(runs: int, ended: int, groups: Sequence[Sequence[Job]]) -> str:
    """Return how many runs train in groups, and how many one by one.

    Example:
        >>> announcement(5, 0, [[1, 2, 3], [4], [5]])
        'sweep: 5 runs: 3 in 1 group, 2 one by one'
    """
    together = [len(group) for group in groups if len(group) > 1]
    parts = []
    if together:
        plural = "group" if len(together) == 1 else "groups"
        parts.append(f"{sum(together):,} in {len(together):,} {plural}")
    if alone := len(groups) - len(together):
        parts.append(f"{alone:,} one by one")
    before = f", {ended:,} trained before" if ended else ""
    return f"sweep: {runs:,} run{'' if runs == 1 else 's'}: {', '.join(parts) or 'none'}{before}"


def allow_files(count: int) -> None:
    """Raise the limit of open files, if any, to what a run group needs."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        for limit in (most, min(most, OPEN_MAX)):
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return


OPEN_MAX = 10_240
"""Most open files that macOS allows, whatever its limit is."""
