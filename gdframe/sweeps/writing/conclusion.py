"""What a sweep leaves besides its runs, and what it tells those who asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gdframe.config.observers import build_observers
from gdframe.observers import TensorBoard
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import best
from gdframe.sweeps.comparing.records import records_of, settings
from gdframe.sweeps.comparing.sweep_metric import value_of, worst
from gdframe.sweeps.executing.job import Job
from gdframe.sweeps.executing.train_sweep import Outcome
from gdframe.sweeps.writing.sweep_table import Summary, compare


def conclude(folder: Path, outcome: Outcome, metric: str | None) -> Summary:
    """Write what a sweep leaves besides its runs: summary, pictures, curves of the seeds' means.

    Raises:
        OSError: something cannot be written.
    """
    jobs = [job for job in outcome.jobs if job.number not in outcome.changed]
    summary = compare(folder, records_of(jobs, outcome.results), metric, outcome.changed)
    summary.write(folder)
    config = outcome.jobs[0].config
    saved: dict[str, bytes] = {}
    if len(summary.configurations) > 1:
        from gdframe.sweeps.writing.pictures import draw

        saved = draw(folder, summary.configurations, summary.metric)
    if config["logging"]["tensorboard"]:
        outcome.curves.write_means(folder, summary.configurations)
        if config["logging"]["runs"] == "best":
            shown = [record for one in best(summary.configurations) for record in one.records]
            configs = {str(job.folder): job for job in outcome.jobs}
            outcome.curves.show(shown, lambda record: _board(configs[record.folder]))
        show_pictures(folder, saved)
    return summary


def _board(job: Job) -> TensorBoard:
    """Return the observer that writes a run's events."""
    found = build_observers(job.config, job.run_folder, overrides=settings(job.overrides))
    return next(observer for observer in found if isinstance(observer, TensorBoard))


def show_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Show pictures among the images of a sweep's TensorBoard.

    Raises:
        OSError: they cannot be written.
    """
    if pictures:
        file = SweepFolder(folder).open_events()
        try:
            for name, png in pictures.items():
                file.image(f"sweep/{name}", png)
        finally:
            file.close()


def exit_codes(outcome: Outcome) -> list[int]:
    """Return 1 for each run that failed or is missing, else 0; a diverged run is a result."""
    failed = [int(result["status"] == "failed") for result in outcome.results.values()]
    missing = [job for job in outcome.asked if job.number not in outcome.results]
    return failed if outcome.interrupted else failed + [1 for _ in missing]


def values(outcome: Outcome, metric: str | None) -> list[float]:
    """Return what each run asked for is compared by; the worst there is where it has no value."""
    found = []
    for job in outcome.asked:
        result = outcome.results.get(job.number)
        value = None if result is None else value_of(result, metric)
        found.append(worst(metric) if value is None else value)
    return found
