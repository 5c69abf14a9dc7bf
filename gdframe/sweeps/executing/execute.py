"""Trains the runs of a sweep, batch after batch, and writes for each what a single run leaves."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gdframe.config.build import build, build_run
from gdframe.config.observers import build_observers
from gdframe.config.train_run import doubt, leave
from gdframe.diagnostics.preflight import advice_on_curvature, advice_on_data
from gdframe.engines.auto import build_engine
from gdframe.engines.base import Engine
from gdframe.observers import Observer, TensorBoard
from gdframe.runs.checkpoint_file import Capture
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
from gdframe.training.run_spec import RunSpec
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

    def _train(self, batch: Sequence[Job]) -> None:
        begun = time.perf_counter()
        jobs: dict[Run, Job] = {}
        configs: dict[Run, dict[str, Any]] = {}

        def ended(run: Run, result: Result) -> None:
            job = jobs[run]
            result.seconds["setup"], result.folder = setup, job.folder
            self._curves.keep(result)
            if (board := self._boards.pop(job.number, None)) is not None:
                with storing():
                    self._curves.write_end(board, result)
            write = partial(_leave, result, run.spec, configs.pop(run), job)
            writing.submit(run, write)

        def written(run: Run, content: Mapping[str, Any]) -> None:
            self._note(jobs[run], content)

        def failed(run: Run, error: Exception) -> None:
            self._fail(jobs[run], run.failed(error), error)

        def stop() -> str | None:
            for run in group.runs[:1]:  # all are at the same step
                done = run.step / (run.epochs * run.clock.steps_per_epoch)
                self._display.going(len(group.runs), done)
            return self._stop()

        self._display.preparing(len(batch))
        try:
            for job in batch:
                config = job.config
                run = build_run(build(config, self._datasets.load), config)
                jobs[run], configs[run] = job, config
            starts = {run: starting_point(job) for run, job in jobs.items()}
            engine = self._engine(list(jobs), configs, next(iter(starts.values())))
            group = RunGroup(list(jobs), engine)
            for run, capture in starts.items():
                if capture is not None:
                    run.restore(capture)
            del starts
        except NotWrittenError:
            raise
        except Exception as error:  # of a component from elsewhere, or an engine's second thought
            if len(batch) > 1:  # the others shall not suffer
                for job in batch:
                    self._train([job])
            else:
                write_folders(batch)
                self._fail(batch[0], None, error)
            return
        write_folders(batch)
        for run, job in jobs.items():
            run.observers = self._observers(configs[run], job)
            self._warn(configs[run], run)
        setup = (time.perf_counter() - begun) / len(batch)
        with Writing(written, failed) as writing:
            train(group, stop, ended=ended, failed=failed)

    def _engine(
        self,
        runs: Sequence[Run],
        configs: Mapping[Run, Mapping[str, Any]],
        start: Capture | None,
    ) -> Engine:
        """Build the engine of a batch: the one on which it was begun, where it was."""
        first = runs[0]
        name = configs[first]["engine"]["name"]
        if start is not None and name == "auto":
            name = start.facts["engine"]  # another one would not go on bit for bit
        spec, problems = first.spec, [run.spec.problem for run in runs]
        return build_engine(name, problems, spec.data, spec.loader, epochs=spec.epochs)

    def _observers(self, config: Mapping[str, Any], job: Job) -> list[Observer]:
        """Return who watches a run; its curves are left out where only some are to be kept."""
        found = build_observers(config, job.run_folder, overrides=settings(job.overrides))
        if config["logging"]["runs"] == "all":
            return found
        for board in [observer for observer in found if isinstance(observer, TensorBoard)]:
            found.remove(board)
            self._boards[job.number] = board
        return found

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

    def _warn(self, config: Mapping[str, Any], run: Run) -> None:
        """Say once what about runs, or their data, is hardly meant."""
        said = [f"warning: {warning}"] if (warning := doubt(config)) else []
        key = Datasets.key(config)
        if config["preflight"] and key not in self._warned:
            self._warned.add(key)
            said += [f"advice: {advice}" for advice in advice_on_data(run.spec.data)]
        if config["preflight"] and config["diagnostics"]["curvature"]:
            said += [f"advice: {advice}" for advice in advice_on_curvature(run.spec.objective)]
        for words in said:
            if words not in self._warned:
                self._warned.add(words)
                log.warning("%s", words)


def _leave(result: Result, spec: RunSpec, config: Mapping[str, Any], job: Job) -> Mapping[str, Any]:
    """Write what a run leaves when it ends; return what ``result.json`` holds."""
    with storing():
        content = leave(result, spec, config, job.run_folder)
    reason = f"engine: {result.engine} ({result.engine_reason})\n"
    job.run_folder.append_log((reason if result.engine_reason else "") + table(result))
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
