"""Trains the runs of a sweep, batch after batch, and writes for each what a single run leaves."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from gdframe.batch import Batch
from gdframe.config.build import Parts, build
from gdframe.config.launch import diagnose, doubt, ingredients, leave, observers
from gdframe.console import table
from gdframe.diagnostics.preflight import advice_on_curvature, advice_on_data
from gdframe.engines.auto import build_engine
from gdframe.engines.base import Engine
from gdframe.files import NotWrittenError, storing, write_atomically
from gdframe.member import Member
from gdframe.observers import Observer, TensorBoard
from gdframe.result import RESULT_FILE, Result, versions
from gdframe.stopping import Status
from gdframe.storage import Capture
from gdframe.sweeps.curves import Curves
from gdframe.sweeps.job import Job, write_folders
from gdframe.sweeps.plan import Datasets, starting_point
from gdframe.sweeps.progress import SweepProgress
from gdframe.sweeps.records import settings
from gdframe.sweeps.writing import Writing

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
        parts: dict[Member, Parts] = {}
        jobs: dict[Member, Job] = {}
        configs: dict[Member, dict[str, Any]] = {}

        def ended(member: Member, result: Result) -> None:
            job = jobs[member]
            result.seconds["setup"], result.folder = setup, job.folder
            self._curves.keep(result)
            if (board := self._boards.pop(job.number, None)) is not None:
                with storing():
                    self._curves.write_end(board, result)
            write = partial(_leave, result, parts.pop(member), configs.pop(member), job)
            writing.submit(member, write)

        def written(member: Member, content: Mapping[str, Any]) -> None:
            self._note(jobs[member], content)

        def failed(member: Member, error: Exception) -> None:
            self._fail(jobs[member], member.failed(error), error)

        def stop() -> str | None:
            for member in together.members[:1]:  # all are at the same step
                done = member.step / (member.epochs * member.clock.steps_per_epoch)
                self._display.going(len(together.members), done)
            return self._stop()

        self._display.preparing(len(batch))
        try:
            for job in batch:
                config = job.config
                built = build(config, self._datasets.load)
                member = Member(**ingredients(built, config), diagnosis=diagnose(config))
                parts[member], jobs[member], configs[member] = built, job, config
            starts = {member: starting_point(job) for member, job in jobs.items()}
            engine = self._engine(list(jobs), configs, next(iter(starts.values())))
            together = Batch(list(jobs), engine, ended=ended, failed=failed)
            for member, capture in starts.items():
                if capture is not None:
                    member.restore(capture)
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
        for member, job in jobs.items():
            member.observers = self._observers(configs[member], job)
            self._warn(configs[member], member)
        setup = (time.perf_counter() - begun) / len(batch)
        with Writing(written, failed) as writing:
            together.fit(stop)

    def _engine(
        self,
        members: Sequence[Member],
        configs: Mapping[Member, Mapping[str, Any]],
        start: Capture | None,
    ) -> Engine:
        """Build the engine of a batch: the one on which it was begun, where it was."""
        first = members[0]
        name = configs[first]["engine"]["name"]
        if start is not None and name == "auto":
            name = start.facts["engine"]  # another one would not go on bit for bit
        runs = [member.run for member in members]
        return build_engine(name, runs, first.data, first.loader, epochs=first.epochs)

    def _observers(self, config: Mapping[str, Any], job: Job) -> list[Observer]:
        """Return who watches a run; its curves are left out where only some are to be kept."""
        found = observers(config, job.folder, settings(job.overrides))
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
                write_atomically(job.folder / RESULT_FILE, json.dumps(content, indent=2) + "\n")
        _write_log(job, "".join(traceback.format_exception(error)), level="ERROR")
        log.error("%s failed: %s", job.name, error)
        self._note(job, content)

    def _note(self, job: Job, content: Mapping[str, Any]) -> None:
        self.results[job.number] = content
        self._display.ended(job, content)

    def _warn(self, config: Mapping[str, Any], member: Member) -> None:
        """Say once what about runs, or their data, is hardly meant."""
        said = [f"warning: {warning}"] if (warning := doubt(config)) else []
        key = Datasets.key(config)
        if config["preflight"] and key not in self._warned:
            self._warned.add(key)
            said += [f"advice: {advice}" for advice in advice_on_data(member.data)]
        if config["preflight"] and config["diagnostics"]["curvature"]:
            said += [f"advice: {advice}" for advice in advice_on_curvature(member.objective)]
        for words in said:
            if words not in self._warned:
                self._warned.add(words)
                log.warning("%s", words)


def _leave(result: Result, parts: Parts, config: Mapping[str, Any], job: Job) -> Mapping[str, Any]:
    """Write what a run leaves when it ends; return what ``result.json`` holds."""
    with storing():
        content = leave(result, parts, config, job.folder)
    reason = f"engine: {result.engine} ({result.engine_reason})\n"
    _write_log(job, (reason if result.engine_reason else "") + table(result))
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


def _write_log(job: Job, text: str, level: str = "INFO") -> None:
    """Append to a run's log what a single run would have said."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError), (job.folder / "gdframe.log").open("a") as file:
        file.write(f"[{stamp}][{level}] {text}\n")
