"""Trains the runs of a sweep, batch after batch, and writes for each what a single run leaves."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gdframe.config.observers import build_observers
from gdframe.config.prepare import PreparedRun, make_group, prepare
from gdframe.diagnostics.preflight import advice_on_curvature, advice_on_data
from gdframe.observers import Observer, TensorBoard
from gdframe.runs.files import NotWrittenError, storing
from gdframe.runs.result import Result, versions
from gdframe.runs.result_table import table
from gdframe.stopping import Status
from gdframe.sweeps.comparing.records import settings
from gdframe.sweeps.executing.job import Job, write_folders
from gdframe.sweeps.executing.plan import Datasets, starting_point
from gdframe.sweeps.executing.sweep_progress import SweepProgress
from gdframe.sweeps.executing.write_pool import Writing
from gdframe.sweeps.writing.mean_curves import Curves
from gdframe.training.run import Run
from gdframe.training.run_group import RunGroup
from gdframe.training.trainer import train

log = logging.getLogger("gdframe")

Row = dict[str, Any]


class Execution:
    """Trains batches of jobs.

    Args:
        datasets: where they get their data.
        stop: names what asks for an end, such as Ctrl-C; None for nothing.
        display: is told of each run that ends, and how far the others are.
        curves: keeps what the runs measure.

    Attributes:
        results: what ``result.json`` of each run holds, by the run's number.
    """

    def __init__(
        self,
        datasets: Datasets,
        stop: Callable[[], str | None],
        display: SweepProgress,
        curves: Curves,
    ) -> None:
        self._datasets, self._stop, self._display = datasets, stop, display
        self.results: dict[int, Mapping[str, Any]] = {}
        self._curves = curves
        self._boards: dict[int, TensorBoard] = {}
        self._warned: set[str] = set()

    def train(self, batches: Sequence[Sequence[Job]]) -> None:
        """Train batch after batch, until all is done or an end is asked for.

        Raises:
            NotWrittenError: a folder cannot be written to; what had ended before is whole.
        """
        for batch in batches:
            if self._stop() is None:
                self._train(batch)

    def _train(self, jobs: Sequence[Job]) -> None:
        """Train jobs of one structure as a group."""
        begun = time.perf_counter()
        self._display.preparing(len(jobs))
        try:
            prepared = [prepare(job.config, job.run_folder, self._datasets.load) for job in jobs]
            group = make_group(prepared, [starting_point(job) for job in jobs])
        except NotWrittenError:
            raise
        except Exception as error:  # of a component from elsewhere, or an engine's second thought
            if len(jobs) > 1:  # the others shall not suffer
                for job in jobs:
                    self._train([job])
            else:
                write_folders(jobs)
                self._fail(jobs[0], None, error)
            return
        write_folders(jobs)
        for one, job in zip(prepared, jobs, strict=True):
            one.run.observers = self._observers(one, job)
            self._warn(one)
        setup = (time.perf_counter() - begun) / len(jobs)
        by_run = {one.run: (one, job) for one, job in zip(prepared, jobs, strict=True)}
        self._fit(group, by_run, setup)

    def _fit(
        self, group: RunGroup, by_run: dict[Run, tuple[PreparedRun, Job]], setup: float
    ) -> None:
        """Train a group; write each run when it ends."""

        def ended(run: Run, result: Result) -> None:
            one, job = by_run[run]
            result.seconds["setup"], result.folder = setup, job.folder
            self._curves.keep(result)
            if (board := self._boards.pop(job.number, None)) is not None:
                with storing():
                    self._curves.write_end(board, result)
            writing.submit(run, partial(_save, one, result))

        def written(run: Run, content: Mapping[str, Any]) -> None:
            self._note(by_run.pop(run)[1], content)

        def failed(run: Run, error: Exception) -> None:
            self._fail(by_run[run][1], run.failed(error), error)

        def stop() -> str | None:
            for run in group.runs[:1]:  # all are at the same step
                done = run.step / (run.epochs * run.clock.steps_per_epoch)
                self._display.going(len(group.runs), done)
            return self._stop()

        with Writing(written, failed) as writing:
            train(group, stop, ended=ended, failed=failed)

    def _observers(self, one: PreparedRun, job: Job) -> list[Observer]:
        """Return the observers of a run; its curves are left out where only some are to be kept."""
        observers = build_observers(one.config, one.folder, overrides=settings(job.overrides))
        if one.config["logging"]["runs"] == "all":
            return observers
        for board in [observer for observer in observers if isinstance(observer, TensorBoard)]:
            observers.remove(board)
            self._boards[job.number] = board
        return observers

    def _fail(self, job: Job, result: Result | None, error: Exception) -> None:
        """Write what is known of a run that raised."""
        with storing():
            if result is not None:
                content: Mapping[str, Any] = result.save(job.folder)
            else:
                content = unmeasured(job, error)
                job.run_folder.write_result(content)
        job.run_folder.append_log("".join(traceback.format_exception(error)), level="ERROR")
        log.error("%s failed: %s", job.name, error)
        self._note(job, content)

    def _note(self, job: Job, content: Mapping[str, Any]) -> None:
        self.results[job.number] = content
        self._display.ended(job, content)

    def _warn(self, one: PreparedRun) -> None:
        """Log each warning and advice once; a rate that is too large is a result of a sweep."""
        texts = [f"warning: {warning}" for warning in one.warnings()]
        key = Datasets.key(one.config)
        if one.config["preflight"] and key not in self._warned:
            self._warned.add(key)
            texts += [f"advice: {advice}" for advice in advice_on_data(one.spec.data)]
        if one.config["preflight"] and one.diagnostics.curvature:
            texts += [f"advice: {advice}" for advice in advice_on_curvature(one.spec.objective)]
        for text in texts:
            if text not in self._warned:
                self._warned.add(text)
                log.warning("%s", text)


def _save(one: PreparedRun, result: Result) -> Mapping[str, Any]:
    """Write what a run leaves when it ends; return what ``result.json`` holds."""
    with storing():
        content = one.save(result)
    reason = f"engine: {result.engine} ({result.engine_reason})\n"
    one.folder.append_log((reason if result.engine_reason else "") + table(result))
    return content


def unmeasured(job: Job, error: Exception) -> dict[str, Any]:
    """Return what ``result.json`` says of a run that failed before anything was measured."""
    config = job.config
    return {
        "status": str(Status.FAILED),
        "reason": f"{type(error).__name__}: {error}",
        "variant": config["variant"],
        "engine": config["engine"]["name"],
        "model": config["model"]["name"],
        "loss": (config["loss"] or {}).get("name"),
        "optimizer": config["optimizer"]["name"],
        "lr": config["lr"],
        "seed": config["seed"],
        "epochs": 0,
        "steps": 0,
        "samples": 0,
        "gradient_evaluations": 0,
        "versions": versions(),
    }
