"""A sweep as a command: train its runs, write and show the summary, say what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from gdframe.events import PATTERN, EventFile
from gdframe.sweeps.comparison import Record
from gdframe.sweeps.job import Job, result_of
from gdframe.sweeps.metric import value_of
from gdframe.sweeps.report import Summary, summarize
from gdframe.sweeps.summary import settings
from gdframe.sweeps.sweep import Outcome, train_sweep


def run_sweep(
    folder: Path,
    jobs: Sequence[Job] | None,
    *,
    most: int | None = None,
    metric: str | None = None,
    reuse: bool = False,
    show: bool = True,
) -> Outcome:
    """Train the runs of a sweep together, and print its summary.

    Args:
        folder: the sweep's.
        jobs: its runs; None for those the folder remembers, to go on with them.
        most: most runs of a batch; by default what memory holds.
        metric: what they are compared by; by default validation loss or objective.
        reuse: whether runs that ended in this folder before are taken as they are.
        show: whether to draw a progress display where standard error is a terminal.

    Raises:
        UserError: a run cannot be trained as it is configured; none was.
        OSError: a folder cannot be written to.
    """
    outcome = train_sweep(folder, jobs, most=most, metric=metric, reuse=reuse, show=show)
    print(conclude(folder, outcome, metric).text)
    return outcome


def conclude(folder: Path, outcome: Outcome, metric: str | None) -> Summary:
    """Write what a sweep leaves besides its runs: summary, pictures, curves of the seeds' means.

    Raises:
        OSError: something cannot be written.
    """
    summary = summarize(folder, records(outcome), metric)
    config = outcome.jobs[0].config
    saved: dict[str, bytes] = {}
    if len(summary.configurations) > 1:
        from gdframe.sweeps.pictures import draw

        saved = draw(folder, summary.configurations, summary.metric)
    if config["logging"]["tensorboard"]:
        outcome.curves.write_means(folder, summary.configurations)
        if config["logging"]["runs"] == "best" and summary.configurations:
            outcome.curves.show(summary.configurations[0].records)
        show_pictures(folder, saved)
    return summary


def show_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Show pictures among the images of a sweep's TensorBoard.

    Raises:
        OSError: they cannot be written.
    """
    for old in folder.glob(PATTERN):
        old.unlink()
    if pictures:
        file = EventFile(folder)
        try:
            for name, png in pictures.items():
                file.image(f"sweep/{name}", png)
        finally:
            file.close()


def records(outcome: Outcome) -> list[Record]:
    """Return every run of a sweep with what it came to."""
    return [
        Record(settings(job.overrides), outcome.results.get(job.number), str(job.folder))
        for job in outcome.jobs
    ]


def exit_codes(outcome: Outcome) -> list[int]:
    """Return the exit codes of the runs that ended, where a diverged run is a result."""
    return [int(result["status"] == "failed") for result in outcome.results.values()]


def values(outcome: Outcome, metric: str | None) -> list[float]:
    """Return what each run asked for is compared by; NaN where it has no value."""
    found = []
    for job in outcome.asked:
        result = outcome.results.get(job.number) or result_of(job)
        value = None if result is None else value_of(result, metric)
        found.append(math.nan if value is None else value)
    return found
