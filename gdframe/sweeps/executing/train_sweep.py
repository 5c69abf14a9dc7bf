"""A sweep from jobs to results: plan, train, take what was trained before as it is."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gdframe.config.folders import refuse_run
from gdframe.errors import UserError
from gdframe.interrupt import interruptible
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.sweep_metric import check_metric
from gdframe.sweeps.executing.execute import Execution
from gdframe.sweeps.executing.job import Job, digest, has_gone_on, read_jobs, result_of, write_jobs
from gdframe.sweeps.executing.plan import Datasets, plan, starting_point
from gdframe.sweeps.executing.sweep_progress import SweepProgress
from gdframe.sweeps.writing.mean_curves import Curves

log = logging.getLogger("gdframe")


@dataclass(frozen=True)
class Outcome:
    """What the runs of a sweep came to.

    Args:
        jobs: every run in the sweep's folder, those of earlier launches too.
        asked: the runs asked for now, in order, as they are in the folder.
        results: what ``result.json`` of a run holds, by its number; runs that did not end are left
            out.
        interrupted: whether an end was asked for.
        curves: what the runs trained now measured.
        changed: numbers of runs in the folder that are left out: their data have changed since, or
            they have gone on as other ones than they were asked to be.
    """

    jobs: list[Job]
    asked: list[Job]
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
    before: Outcome | None = None,
) -> Outcome:
    """Train the runs of a sweep, those of one structure together.

    Args:
        folder: the sweep's.
        jobs: its runs; None for those the folder remembers.
        most: most runs of a batch; by default what memory holds.
        metric: what the display calls best.
        reuse: whether runs that ended in this folder before are taken as they are.
        show: whether to draw a progress display where standard error is a terminal.
        before: what the sweep came to so far, where a sweeper asks for runs again and again.

    Raises:
        UserError: a run cannot be trained as it is configured; none was.
        OSError: a folder cannot be written to.
    """
    check_metric(metric)
    datasets = Datasets()
    if jobs is None:
        known = asked = read_jobs(folder)
        changed = frozenset(job.number for job in known if has_gone_on(job))
    else:
        there = SweepFolder(folder).has_jobs()
        if reuse and not there:
            refuse_run(folder)
        known = read_jobs(folder) if reuse and there else []
        changed = frozenset(job.number for job in known if not _is_as_asked(job, datasets))
        # the others stay where they are, and are no longer the sweep's
        known = [job for job in known if job.number not in changed]
        asked = _settled(folder, jobs, known) if reuse else list(jobs)
    earlier = before.jobs if before else []
    everything = list({job.number: job for job in (*earlier, *known, *asked)}.values())
    results: dict[int, Mapping[str, Any]] = {
        job.number: result for job in known if (result := result_of(job)) is not None
    } | (dict(before.results) if before else {})
    wanted = list({job.number: job for job in asked if job.number not in results}.values())
    batches = plan(wanted, datasets, most=most)
    folder.mkdir(parents=True, exist_ok=True)
    with SweepFolder(folder).lock(), patient_collector(), interruptible() as stop:
        write_jobs(folder, everything)
        log.info("%s", announcement(len(wanted), len(asked) - len(wanted), batches))
        allow_files(2 * max(map(len, batches), default=0))
        with SweepProgress(wanted, metric, show=show) as display:
            curves = before.curves if before else Curves()
            execution = Execution(datasets, stop, display, curves)
            execution.train(batches)
    results |= execution.results
    # whether an end was asked for is read last: from here on Ctrl-C raises again
    return Outcome(everything, asked, results, stop() is not None, curves, changed)


def _settled(folder: Path, jobs: Sequence[Job], known: Sequence[Job]) -> list[Job]:
    """Return for each run the one in the folder that computes the same, or a new one."""
    there = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    if not known and not there:
        return list(jobs)
    by_digest = {digest(job.config): job for job in known}
    number = 1 + max([*(job.number for job in known), *there])
    settled = []
    for job in jobs:
        mark = digest(job.config)
        if mark not in by_digest:
            by_digest[mark] = replace(job, number=number, folder=_free(job, folder, number))
            number += 1
        settled.append(by_digest[mark])
    return settled


def _free(job: Job, folder: Path, number: int) -> Path:
    """Return a folder for a run that is added: the one it was to have, if its name is its own."""
    named = job.folder.name != str(job.number) and not job.folder.exists()
    return job.folder if named else folder / str(number)


def _is_as_asked(job: Job, datasets: Datasets) -> bool:
    """Say whether the run in a job's folder, if any, is still what it was asked to be.

    It is not if it was resumed to more epochs, or if its data have changed since.
    """
    if has_gone_on(job):
        return False
    result = job.run_folder.read_result()
    seen = None if result is None else result.get("data_digest")
    if seen is None or result_of(job) is None:  # it goes on from its checkpoint, if it has one
        try:
            start = starting_point(job)
        except UserError:  # which is damaged
            return False
        seen = seen if start is None else start.facts["data"]
    return seen is None or bool(seen == datasets.load(job.config).digest)


@contextmanager
def patient_collector() -> Iterator[None]:
    """Have Python look for garbage in circles less often: of a sweep's objects most stay."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


GARBAGE = 200_000
"""New objects until Python looks for garbage; by default 700, which takes a fifth of the time."""


def announcement(runs: int, ended: int, batches: Sequence[Sequence[Job]]) -> str:
    """Say how many runs are trained together, and how many one by one.

    Example:
        >>> announcement(5, 0, [[1, 2, 3], [4], [5]])
        'sweep: 5 runs: 3 in 1 batch, 2 one by one'
    """
    together = [len(batch) for batch in batches if len(batch) > 1]
    parts = []
    if together:
        plural = "batch" if len(together) == 1 else "batches"
        parts.append(f"{sum(together):,} in {len(together):,} {plural}")
    if alone := len(batches) - len(together):
        parts.append(f"{alone:,} one by one")
    before = f", {ended:,} trained before" if ended else ""
    return f"sweep: {runs:,} run{'' if runs == 1 else 's'}: {', '.join(parts) or 'none'}{before}"


def allow_files(count: int) -> None:
    """Raise the limit of open files, where there is one and it is too low for a batch."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
