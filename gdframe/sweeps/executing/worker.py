"""Run groups for workers: other launchers start a worker for each run group.

A launcher of Hydra's family starts a job for each list of overrides. Here such a job trains a run
group. Its overrides name the numbers of the runs. The workers share the sweep folder, which holds
the configs of the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gdframe.config.folders import refuse_taken
from gdframe.config.override_syntax import quoted
from gdframe.config.overrides import OF_WORKERS
from gdframe.errors import UserError
from gdframe.interrupt import interruptible
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.stopping import Status
from gdframe.sweeps.executing.class_memory import ClassMemory
from gdframe.sweeps.executing.datasets import Datasets
from gdframe.sweeps.executing.execute import Execution
from gdframe.sweeps.executing.job import Job, read_jobs, whole_results, write_jobs
from gdframe.sweeps.executing.job_rates import with_rates
from gdframe.sweeps.executing.plan import plan
from gdframe.sweeps.executing.sweep_progress import SweepProgress
from gdframe.sweeps.executing.train_sweep import SweepOutcome, allow_files
from gdframe.sweeps.writing.mean_curves import Curves

RUNS = 64
"""Most runs of a run group, by default."""


def pack(
    folder: Path, jobs: Sequence[Job], before: Sequence[Job], *, most: int | None, first: int
) -> list[list[str]]:
    """Write the runs for the workers; return the overrides of each run group.

    Args:
        folder: the sweep folder.
        jobs: the runs to train.
        before: runs that were trained before, for a sweeper that requests runs repeatedly.
        most: most runs of a run group.
        first: number of the first run group.

    Raises:
        UserError: a run cannot be trained; no run was trained.
    """
    metric = jobs[0].config["sweep"]["metric"]
    datasets, memory = Datasets(), ClassMemory()
    jobs = with_rates(jobs, datasets, memory)
    most = RUNS if most is None else most
    groups = plan(jobs, datasets, memory, most=most, metric=metric)
    refuse_taken(job.folder for job in jobs)
    folder.mkdir(parents=True, exist_ok=True)
    write_jobs(folder, [*before, *jobs], metric)
    packed = []
    for number, group in enumerate(groups, start=first):
        overrides = [word for word in group[0].overrides if not word.startswith("sweep.")]
        numbers = ",".join(str(job.number) for job in group)
        packed.append(
            [
                *overrides,
                f"sweep.dir={quoted(str(folder.resolve()))}",
                f"sweep.pack=[{numbers}]",
                f"hydra.sweep.subdir={SweepFolder(folder).worker(number)}",
            ]
        )
    return packed


def jobs_of_pack(settings: Mapping[str, Any]) -> list[Job]:
    """Return the runs of a worker.

    Args:
        settings: ``sweep`` of the config.

    Raises:
        UserError: the settings are not those that a sweep gives to a worker.
    """
    numbers, folder = set(settings["pack"]), settings["dir"]
    is_sweep = folder is not None and SweepFolder(Path(folder)).has_jobs()
    jobs = [job for job in read_jobs(Path(folder)) if job.number in numbers] if is_sweep else []
    if len(jobs) < len(numbers):
        raise UserError(OF_WORKERS)
    return jobs


def train_pack(folder: Path, jobs: Sequence[Job]) -> None:
    """Train the run group of a worker.

    Args:
        folder: the sweep folder.
        jobs: from ``jobs_of_pack``.
    """
    allow_files(3 * len(jobs))
    datasets, memory = Datasets(), ClassMemory()
    with ExitStack() as stack:
        stack.enter_context(SweepFolder(folder).lock(shared=True))  # also after a launch died
        for job in jobs:  # a resumed run shares the sweep too
            job.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(job.run_folder.lock())
        stop = stack.enter_context(interruptible())
        display = SweepProgress(jobs, None, show=False)
        execution = Execution(datasets, stop, display, Curves(), memory)
        execution.train(plan(jobs, datasets, memory, most=len(jobs)))


def gather(jobs: Sequence[Job]) -> SweepOutcome:
    """Return the results that the workers have written."""
    results = whole_results(jobs)
    interrupted = any(result["status"] == Status.INTERRUPTED for result in results.values())
    return SweepOutcome(list(jobs), list(jobs), results, interrupted, Curves())
