"""Batches of a sweep for workers elsewhere: other launchers start a worker for each batch.

A launcher of Hydra's family starts one job for each list of overrides. Here such a job is a batch:
its overrides say which runs of the sweep it trains together, and the sweep's folder, which workers
share, says what those runs are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gdframe.interrupt import interruptible
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.executing.execute import Execution
from gdframe.sweeps.executing.job import Job, read_jobs, write_jobs
from gdframe.sweeps.executing.plan import Datasets, plan
from gdframe.sweeps.executing.sweep_progress import SweepProgress
from gdframe.sweeps.executing.train_sweep import Outcome, allow_files
from gdframe.sweeps.writing.mean_curves import Curves

RUNS = 64
"""Most runs of a batch, where nothing else is asked for."""


def pack(
    folder: Path, jobs: Sequence[Job], before: Sequence[Job], *, most: int | None, first: int
) -> list[list[str]]:
    """Write what workers need to know; return the overrides of each batch.

    Args:
        folder: the sweep's.
        jobs: the runs to be trained.
        before: those that were trained before, where a sweeper asks again and again.
        most: most runs of a batch.
        first: number of the first batch.

    Raises:
        UserError: a run cannot be trained as it is configured; none was.
    """
    batches = plan(jobs, Datasets(), most=RUNS if most is None else most)
    folder.mkdir(parents=True, exist_ok=True)
    write_jobs(folder, [*before, *jobs])
    where = str(folder.resolve()).replace("\\", "\\\\").replace("'", "\\'")
    packed = []
    for number, batch in enumerate(batches, start=first):
        own = [word for word in batch[0].overrides if not word.startswith("sweep.")]
        numbers = ",".join(str(job.number) for job in batch)
        packed.append(
            [
                *own,
                f"sweep.dir='{where}'",
                f"sweep.pack=[{numbers}]",
                f"hydra.sweep.subdir={SweepFolder(folder).worker(number)}",
            ]
        )
    return packed


def train_pack(settings: dict[str, Any]) -> None:
    """Train the runs that a worker is asked for.

    Args:
        settings: the config's ``sweep``.
    """
    wanted = set(settings["pack"])
    jobs = [job for job in read_jobs(Path(settings["dir"])) if job.number in wanted]
    allow_files(2 * len(jobs))
    datasets = Datasets()
    with interruptible() as stop:
        execution = Execution(datasets, stop, SweepProgress(jobs, None, show=False), Curves())
        execution.train(plan(jobs, datasets, most=len(jobs)))


def gather(jobs: Sequence[Job]) -> Outcome:
    """Return what the workers have left of a sweep."""
    results: dict[int, Mapping[str, Any]] = {
        job.number: found for job in jobs if (found := job.run_folder.read_result()) is not None
    }
    interrupted = any(found["status"] == "interrupted" for found in results.values())
    return Outcome(list(jobs), list(jobs), results, interrupted, Curves())
