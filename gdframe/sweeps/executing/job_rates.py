"""Learning rates of a sweep's runs with ``lr=auto``: each has its own, as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gdframe.config.automatic_rate import with_chosen_rate
from gdframe.config.validation import check
from gdframe.diagnostics.learning_rate import AUTO, FALLBACK
from gdframe.errors import UserError
from gdframe.sweeps.executing.class_memory import ClassMemory
from gdframe.sweeps.executing.datasets import Datasets
from gdframe.sweeps.executing.job import Job


def with_rates(jobs: Sequence[Job], datasets: Datasets, memory: ClassMemory) -> list[Job]:
    """Return runs whose ``lr`` is a number, so that they can train in one group and be resumed.

    Args:
        jobs: the runs.
        datasets: loads their data.
        memory: what the classes of components keep, which each search finds as it was.

    Raises:
        UserError: a run cannot be trained; the message names its number and overrides.
    """
    is_alone = len(jobs) == 1
    automatic = [job for job in jobs if job.config.get("lr") == AUTO]
    if automatic:  # a wrong run is refused before any search
        for job in jobs:
            with _naming(job, is_alone=is_alone):
                check(job.config)
    rated = []
    for job in jobs:
        rated.append(_with_rate(job, datasets, is_alone=is_alone))
        memory.restore()
    return rated


@contextmanager
def _naming(job: Job, *, is_alone: bool) -> Iterator[None]:
    """Name the run in a UserError, unless it is the only one."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error) if is_alone else f"{job.name}: {error}") from error


def _with_rate(job: Job, datasets: Datasets, *, is_alone: bool) -> Job:
    if job.config.get("lr") != AUTO:
        return job
    try:
        with _naming(job, is_alone=is_alone):
            config, reason = with_chosen_rate(job.config, datasets.load)
        lr = config["lr"]
    except UserError:
        raise
    except Exception:  # of a user's component: the run fails alone when it is trained
        lr, reason = FALLBACK, ""
    values = {**job.composition.values, "lr": lr}
    return replace(job, composition=replace(job.composition, values=values), lr_reason=reason)
