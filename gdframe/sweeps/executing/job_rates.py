"""Learning rates of a sweep's runs with ``lr=auto``: each has its own, as if it were alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from gdframe.config.automatic_rate import settled
from gdframe.config.validation import check
from gdframe.diagnostics.learning_rate import AUTO, FALLBACK
from gdframe.errors import UserError, counted
from gdframe.sweeps.executing.job import Job
from gdframe.sweeps.executing.plan import Datasets

log = logging.getLogger("gdframe")


def with_rates(jobs: Sequence[Job], datasets: Datasets) -> list[Job]:
    """Return runs whose ``lr`` is a number, so that they can train in one group and be resumed.

    Args:
        jobs: the runs.
        datasets: loads their data.

    Raises:
        UserError: a run cannot be trained; the message names its number and overrides.
    """
    settled_jobs = [_with_rate(job, datasets, is_alone=len(jobs) == 1) for job in jobs]
    if automatic := sum(bool(job.lr_reason) for job in settled_jobs):
        log.info("lr=auto: a learning rate for each of %s", counted(automatic, "run"))
    return settled_jobs


def _with_rate(job: Job, datasets: Datasets, *, is_alone: bool) -> Job:
    if job.config["lr"] != AUTO:
        return job
    try:
        check(job.config)
        config, reason = settled(job.config, datasets.load)
        lr = config["lr"]
    except UserError as error:
        raise UserError(str(error) if is_alone else f"{job.name}: {error}") from error
    except Exception:  # of a user's component: the run fails alone when it is trained
        lr, reason = FALLBACK, ""
    values = {**job.composition.values, "lr": lr}
    return replace(job, composition=replace(job.composition, values=values), lr_reason=reason)
