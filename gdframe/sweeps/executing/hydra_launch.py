"""The Hydra side of a sweep: from overrides to jobs, and from results to what sweepers get."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.composer import Composer
from gdframe.config.messages import explain
from gdframe.errors import UserError
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.executing.job import Job
from gdframe.sweeps.executing.worker import gather, pack


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Train what a sweeper asks for, and return what it found.

    Args:
        launcher: with Hydra's context, the task, the config, and the most runs of a batch.
        job_overrides: of each run.
        first: the number of the first run.

    Raises:
        UserError: a run cannot be trained as it is configured; none was.
    """
    setup_globals()
    speak()
    folder = Path(str(launcher.config.hydra.sweep.dir))
    jobs = compose_jobs(launcher.hydra_context, launcher.config, job_overrides, first, folder)
    gc.freeze()  # what was imported and composed stays; the collector need not look again
    values = launcher.task_function.sweep(folder, jobs, most=launcher.batch)
    return _returned(jobs, values)


def launch_packed(
    packing: Any, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Have another launcher train what a sweeper asks for, a batch in each of its jobs.

    Args:
        packing: with the launcher, Hydra's context, the config, and the most runs of a batch.
        job_overrides: of each run.
        first: the number of the first run.

    Raises:
        UserError: a run cannot be trained as it is configured; none was.
    """
    setup_globals()
    folder = Path(str(packing.config.hydra.sweep.dir))
    if packing.config.sweep.reuse and SweepFolder(folder).has_jobs():
        raise UserError(
            "sweep.reuse=true: runs are added to a sweep by gdframe's own launcher only; leave "
            "hydra/launcher out, or start a new sweep"
        )
    jobs = compose_jobs(packing.hydra_context, packing.config, job_overrides, first, folder)
    task = packing.launcher.task_function
    task.expect(folder, jobs)
    before = task.outcome.jobs if task.outcome is not None else []
    packed = pack(folder, jobs, before, most=packing.batch, first=first)
    with SweepFolder(folder).lock():
        for returned in packing.launcher.launch(packed, initial_job_idx=first):
            _ = returned.return_value  # raises what the worker raised
    speak()
    return _returned(jobs, task.gathered(gather(jobs)))


def _returned(jobs: Sequence[Job], values: Sequence[float]) -> list[JobReturn]:
    found = []
    for job, value in zip(jobs, values, strict=True):
        returned = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        returned.return_value, returned.working_dir = value, str(job.folder)
        found.append(returned)
    return found


def speak() -> None:
    """Send what a sweep says to standard output as it is; libraries speak up only to warn."""
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[console], force=True)
    logging.getLogger("gdframe").setLevel(logging.INFO)


def compose_jobs(
    context: Any,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    folder: Path,
) -> list[Job]:
    """Return the runs of a sweep.

    Raises:
        UserError: a config cannot be composed.
    """
    for key in ("chdir", "env_set"):
        if config.hydra.job.get(key):
            raise UserError(
                f"hydra.job.{key} would change this process for all runs at once: use "
                "hydra/launcher=basic hydra/sweeper=basic for it"
            )
    composer = Composer(partial(context.config_loader.load_sweep_config, config))
    jobs: list[Job] = []
    places: dict[str, Job] = {}
    for number, overrides in enumerate(job_overrides, start=first):
        own = tuple(filter_overrides(overrides))
        try:
            composition = composer.compose(list(overrides))
            composition.plain()  # refuses what has no place there
            name = composition.subfolder(number, own)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, own) from error
        jobs.append(Job(number, own, composition, folder / name))
        if (other := places.setdefault(name, jobs[-1])) is not jobs[-1]:
            raise UserError(
                f"hydra.sweep.subdir gives {other.name} and {jobs[-1].name} one folder, {name}: "
                "make it differ, by ${hydra.job.num} say"
            )
    return jobs
