"""The Hydra side of a sweep: from overrides to jobs, and from results to what sweepers get."""

from __future__ import annotations

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
from gdframe.sweeps.job import Job


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
    task = launcher.task_function
    folder = Path(str(launcher.config.hydra.sweep.dir))
    jobs = compose_jobs(launcher.hydra_context, launcher.config, job_overrides, first, folder)
    values = task.sweep(folder, jobs, most=launcher.batch)
    returned = []
    for job, value in zip(jobs, values, strict=True):
        result = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        result.return_value, result.working_dir = value, str(job.folder)
        returned.append(result)
    return returned


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
                "hydra/launcher=basic for it"
            )
    load = partial(context.config_loader.load_sweep_config, config)
    composer = Composer(load)
    jobs = []
    for number, overrides in enumerate(job_overrides, start=first):
        own = tuple(filter_overrides(overrides))
        try:
            composition = composer.compose(list(overrides))
            composition.base.set(composition.values)  # refuses what has no place there
            name = composition.base.subfolder(number, own)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, own) from error
        jobs.append(Job(number, own, composition, folder / name))
    return jobs


def check(sweeper: Any, job_overrides: Sequence[Sequence[str]]) -> None:
    """Check that all runs of a sweep can be composed, before another launcher starts any.

    Raises:
        UserError: one cannot.
    """
    from gdframe.config.check import check as check_config

    folder = Path(str(sweeper.config.hydra.sweep.dir))
    for job in compose_jobs(sweeper.hydra_context, sweeper.config, job_overrides, 0, folder):
        try:
            check_config(job.config)
        except UserError as error:
            raise UserError(f"{job.name}: {error}") from error
