"""Trains the run groups of a sweep one after another, and writes the folder of each run."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gdframe.config.observers import build_observers
from gdframe.config.prepare import PreparedRun, make_group, prepare
from gdframe.diagnostics.preflight import is_strictly_convex
from gdframe.engines.eager import Eager
from gdframe.errors import printable
from gdframe.observers import Observer, TensorBoard
from gdframe.runs.checkpoint_file import Capture
from gdframe.runs.files import NotWrittenError, storing
from gdframe.runs.further_result import further_result
from gdframe.runs.log import append_log
from gdframe.runs.result import Result, versions
from gdframe.runs.result_table import table
from gdframe.stopping import Status
from gdframe.sweeps.comparing.records import settings
from gdframe.sweeps.executing.class_memory import ClassMemory
from gdframe.sweeps.executing.datasets import Datasets
from gdframe.sweeps.executing.job import Job, write_folders
from gdframe.sweeps.executing.sweep_progress import SweepProgress
from gdframe.sweeps.executing.write_pool import Writing
from gdframe.sweeps.writing.mean_curves import Curves
from gdframe.training.outcome import failed_result
from gdframe.training.run import Run
from gdframe.training.run_group import RunGroup
from gdframe.training.trainer import train

log = logging.getLogger("gdframe")


class Execution:
    """Trains run groups.

    Args:
        datasets: loads the data of the runs.
        stop: returns the name of the signal that stops the sweep, such as Ctrl-C, or None.
        display: shows progress and the runs that end.
        curves: collects the curves of the runs.
        memory: what the classes of components keep, with which each run begins.

    Attributes:
        results: content of ``result.json`` of each run, by number.
    """

    def __init__(
        self,
        datasets: Datasets,
        stop: Callable[[], str | None],
        display: SweepProgress,
        curves: Curves,
        memory: ClassMemory,
    ) -> None:
        self._datasets, self._stop, self._display = datasets, stop, display
        self.results: dict[int, Mapping[str, Any]] = {}
        self._curves, self._memory = curves, memory
        self._boards: dict[int, TensorBoard] = {}
        self._logged: set[str] = set()

    def train(self, groups: Sequence[Sequence[Job]]) -> None:
        """Train one run group after another, until all are trained or a signal stops the sweep.

        Raises:
            NotWrittenError: a folder cannot be written to; the runs that ended before are complete.
        """
        for group in groups:
            if self._stop() is None:
                self._train(group)
                self._memory.restore()

    def _train(self, jobs: Sequence[Job]) -> None:
        """Train runs of one structure as a run group."""
        started = time.perf_counter()
        self._display.preparing(len(jobs))
        try:
            load = self._datasets.load
            prepared = [
                prepare(job.config, job.run_folder, load, lr_reason=job.lr_reason) for job in jobs
            ]
            group = make_group(prepared, [self._starting_point(job) for job in jobs])
        except NotWrittenError:
            raise
        except Exception as error:  # of a user's component, or of an engine
            self._memory.restore()
            if len(jobs) > 1:  # one run must not fail the others
                for job in jobs:
                    self._train([job])
                    self._memory.restore()
            else:
                write_folders(jobs)
                self._fail(jobs[0], None, error)
            return
        write_folders(jobs)
        for item, job in zip(prepared, jobs, strict=True):
            item.run.observers = self._observers(item, job)
            self._log_advice(item)
        setup = (time.perf_counter() - started) / len(jobs)
        by_run = {item.run: (item, job) for item, job in zip(prepared, jobs, strict=True)}
        for part in self._parts(group):
            self._fit(part, by_run, setup)

    def _starting_point(self, job: Job) -> Capture | None:
        """Return the newest whole checkpoint of a run, or None; warn of those that are damaged."""
        capture, damages = job.run_folder.load_checkpoint()
        for damage in damages:
            self._log_once(f"warning: {job.run_folder}: {damage}")
        return capture

    def _parts(self, group: RunGroup) -> Iterator[RunGroup]:
        """Yield the group; or its runs one by one, on ``eager``, where classes may keep something.

        Each then begins with the classes of its components as they were. Other engines refuse
        components whose calls change something.
        """
        is_apart = self._memory.is_used and isinstance(group.engine, Eager)
        if not is_apart or len(group.runs) == 1:
            yield group
            return
        for index, run in enumerate(group.runs):
            if self._stop() is None:
                yield RunGroup([run], group.engine.only([index]))
                self._memory.restore()

    def _fit(
        self, group: RunGroup, by_run: dict[Run, tuple[PreparedRun, Job]], setup: float
    ) -> None:
        """Train a run group; write each run when it ends."""

        def ended(run: Run, result: Result) -> None:
            prepared, job = by_run[run]
            result.seconds["setup"], result.folder = setup, job.folder
            if prepared.config["logging"]["tensorboard"]:
                self._curves.keep(result)
            if (board := self._boards.pop(job.number, None)) is not None:
                with storing():
                    self._curves.write_end(board, result)
            writing.submit(run, partial(_save, prepared, result))

        def written(run: Run, content: Mapping[str, Any]) -> None:
            self._add_result(by_run.pop(run)[1], content)

        def failed(run: Run, error: Exception) -> None:
            self._fail(by_run[run][1], failed_result(run, error), error)

        def stop() -> str | None:
            for run in group.runs[:1]:  # all are at the same step
                done = run.step / (run.epochs * run.clock.steps_per_epoch)
                self._display.going(len(group.runs), done)
            return self._stop()

        with Writing(written, failed) as writing:
            train(group, stop, ended=ended, failed=failed)

    def _observers(self, prepared: PreparedRun, job: Job) -> list[Observer]:
        """Return the observers of a run, without TensorBoard if it writes the curves later."""
        config, overrides = prepared.config, settings(job.overrides)
        observers = build_observers(config, prepared.folder, overrides=overrides)
        if config["logging"]["runs"] == "all":
            return observers
        for board in [observer for observer in observers if isinstance(observer, TensorBoard)]:
            observers.remove(board)
            self._boards[job.number] = board
        return observers

    def _fail(self, job: Job, result: Result | None, error: Exception) -> None:
        """Write the result of a run that raised."""
        with storing():
            if result is not None:
                further = further_result(job.run_folder, result)
                content: Mapping[str, Any] = further or result.save(job.folder)
            elif (before := job.run_folder.find_result()[0]) and "objective" in before:
                content = before  # of an interrupted run, which keeps it
            else:
                content = unmeasured(job, error)
                job.run_folder.write_result(content)
        append_log(job.run_folder, "".join(traceback.format_exception(error)), level="ERROR")
        log.error("%s failed: %s", job.name, error)
        self._add_result(job, content)

    def _add_result(self, job: Job, content: Mapping[str, Any]) -> None:
        self.results[job.number] = content
        self._display.ended(job, content)

    def _log_advice(self, prepared: PreparedRun) -> None:
        """Log each warning and advice once, without advice on learning rates, which sweeps vary."""
        texts = [f"warning: {warning}" for warning in prepared.warnings()]
        key = f"{Datasets.key(prepared.config)} {is_strictly_convex(prepared.spec.objective)}"
        advice = prepared.advice(data=key not in self._logged, rate=False)
        texts += [f"advice: {text}" for text in advice]
        for note in prepared.spec.data.notes:
            if (line := f"data          {printable(note)}") not in self._logged:
                self._logged.add(line)
                log.info("%s", line)
        if prepared.config["preflight"]:
            self._logged.add(key)
        for text in texts:
            self._log_once(text)

    def _log_once(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            log.warning("%s", text)


def _save(prepared: PreparedRun, result: Result) -> Mapping[str, Any]:
    """Write the files of a run that ended; return the content of ``result.json``."""
    with storing():
        content = prepared.save(result)
    reason = f"engine: {result.engine} ({result.engine_reason})\n"
    append_log(prepared.folder, (reason if result.engine_reason else "") + table(result))
    return content


def unmeasured(job: Job, error: Exception) -> dict[str, Any]:
    """Return the content of ``result.json`` for a run that failed before its first measurement."""
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
