"""The end of a sweep: summary, pictures, mean curves, exit codes and values for a sweeper."""

from __future__ import annotations

from pathlib import Path

from gdframe.config.observers import build_observers
from gdframe.errors import Exit
from gdframe.observers import TensorBoard
from gdframe.stopping import Status
from gdframe.sweeps.comparing.comparison import best
from gdframe.sweeps.comparing.records import records_of, settings
from gdframe.sweeps.comparing.sweep_metric import value_of, worst
from gdframe.sweeps.executing.job import Job
from gdframe.sweeps.executing.train_sweep import SweepOutcome
from gdframe.sweeps.writing.sweep_table import Summary, compare


def conclude(folder: Path, outcome: SweepOutcome, metric: str | None) -> Summary:
    """Write the summary, the pictures and the mean curves of a sweep, and return the summary.

    Raises:
        OSError: a file cannot be written.
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
            jobs_by_folder = {str(job.folder): job for job in outcome.jobs}
            records = [
                record for winner in best(summary.configurations) for record in winner.records
                if jobs_by_folder[record.folder].config["logging"]["tensorboard"]
            ]  # fmt: skip
            outcome.curves.show(records, lambda record: _board(jobs_by_folder[record.folder]))
        outcome.curves.write_overview(folder, saved)
    return summary


def _board(job: Job) -> TensorBoard:
    """Return the observer that writes a run's events."""
    (board,) = build_observers(
        job.config, job.run_folder, overrides=settings(job.overrides), only="tensorboard"
    )
    assert isinstance(board, TensorBoard)
    return board


def exit_codes(outcome: SweepOutcome) -> list[int]:
    """Return ``FAILED`` for each run that failed or is missing, and ``OK`` for the others."""
    is_failed = [result["status"] == Status.FAILED for result in outcome.results.values()]
    done = outcome.results.keys() | outcome.changed
    is_missing = [job.number not in done for job in outcome.requested]
    bad = is_failed if outcome.interrupted else is_failed + is_missing
    return [Exit.FAILED if is_bad else Exit.OK for is_bad in bad]


def values(outcome: SweepOutcome, metric: str | None) -> list[float]:
    """Return the metric of each requested run; the worst value for a run without one."""
    metrics = []
    for job in outcome.requested:
        result = outcome.results.get(job.number)
        value = None if result is None else value_of(result, metric)
        metrics.append(worst(metric) if value is None else value)
    return metrics
