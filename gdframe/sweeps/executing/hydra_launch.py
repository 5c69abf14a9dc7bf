"""Connects a sweep to Hydra: overrides become jobs, and results go back to the sweeper."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.composition import Composer, anchored
from gdframe.config.messages import explain
from gdframe.errors import UserError
from gdframe.runs.log import configure_log
from gdframe.runs.sweep_folder import SweepFolder, shared_folder
from gdframe.sweeps.executing.job import Job
from gdframe.sweeps.executing.worker import gather, pack


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Train the runs that a sweeper requests; return their metrics as Hydra's results.

    Args:
        launcher: holds Hydra's context, the task, the config, and the most runs of a run group.
        job_overrides: overrides of each run.
        first: number of the first run.

    Raises:
        UserError: a run cannot be trained; no run was trained.
    """
    setup_globals()
    configure_log()
    folder = Path(str(launcher.config.hydra.sweep.dir)).absolute()
    jobs = compose_jobs(launcher.hydra_context, launcher.config, job_overrides, first, folder)
    gc.freeze()  # imported and composed objects stay, so that the collector can skip them
    values = launcher.task_function.sweep(folder, jobs, most=launcher.batch)
    return _returned(jobs, values)


def launch_packed(
    packing: Any, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Train the runs that a sweeper requests by another launcher, one run group in each job.

    Args:
        packing: holds the launcher, Hydra's context, the config, and the most runs of a run group.
        job_overrides: overrides of each run.
        first: number of the first run.

    Raises:
        UserError: a run cannot be trained; no run was trained.
    """
    setup_globals()
    folder = Path(str(packing.config.hydra.sweep.dir)).absolute()
    if packing.config.sweep.reuse and SweepFolder(folder).has_jobs():
        raise UserError(
            "sweep.reuse=true: only gdframe's launcher adds runs to a sweep; leave hydra/launcher "
            "out, or start a new sweep"
        )
    jobs = compose_jobs(packing.hydra_context, packing.config, job_overrides, first, folder)
    task = packing.launcher.task_function
    task.expect(folder, jobs)
    before = task.outcome.jobs if task.outcome is not None else []
    packed = pack(folder, jobs, before, most=packing.batch, first=first)
    with SweepFolder(folder).lock(shared=True):  # the workers share it
        for returned in packing.launcher.launch(packed, initial_job_idx=first):
            _ = returned.return_value  # raises the error of the worker
    configure_log()
    return _returned(jobs, task.add(gather(jobs)))


def _returned(jobs: Sequence[Job], values: Sequence[float]) -> list[JobReturn]:
    results = []
    for job, value in zip(jobs, values, strict=True):
        returned = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        returned.return_value, returned.working_dir = value, str(job.folder)
        results.append(returned)
    return results


def compose_jobs(
    context: Any,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    folder: Path,
) -> list[Job]:
    """Return the runs of a sweep.

    Raises:
        UserError: a config cannot be composed, or two runs have the same folder.
    """
    for key in ("chdir", "env_set"):
        if config.hydra.job.get(key):
            raise UserError(
                f"hydra.job.{key} would change this process for all runs: use "
                "hydra/launcher=basic hydra/sweeper=basic"
            )
    composer = Composer(partial(context.config_loader.load_sweep_config, config))
    jobs: list[Job] = []
    names: list[str] = []
    for number, overrides in enumerate(job_overrides, start=first):
        run_overrides = tuple(filter_overrides(overrides))
        try:
            composition = composer.compose(list(overrides))
            in_place = anchored(composition)  # raises for unknown keys and wrong types
            name = composition.subfolder(number, run_overrides)
            SweepFolder(folder).check_run_folder(name)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, run_overrides) from error
        jobs.append(Job(number, run_overrides, in_place, folder / name))
        names.append(name)
    if (shared := shared_folder(names)) is not None:
        first_job, second_job = jobs[shared[0]], jobs[shared[1]]
        raise UserError(
            f"hydra.sweep.subdir gives {first_job.name} and {second_job.name} the same folder, "
            f"{names[shared[0]]}: make it different for each run, for example with "
            "${hydra.job.num}"
        )
    return jobs
