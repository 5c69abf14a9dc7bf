"""Trains the runs of a sweep, batch after batch, and writes for each what a single run leaves."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from gdframe.batch import Batch
from gdframe.config.build import Parts, build
from gdframe.config.launch import diagnose, doubt, ingredients, leave, observers
from gdframe.console import table
from gdframe.data.dataset import Dataset
from gdframe.diagnostics.preflight import advice_on_data
from gdframe.errors import UserError
from gdframe.files import write_atomically
from gdframe.member import Member
from gdframe.observers import Observer, TensorBoard
from gdframe.registry import ENGINES
from gdframe.result import RESULT_FILE, Result, versions
from gdframe.stopping import Status
from gdframe.sweeps.curves import Curves
from gdframe.sweeps.job import Job, write_folders
from gdframe.sweeps.plan import Datasets, starting_point
from gdframe.sweeps.progress import SweepProgress

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
            OSError: a folder cannot be written to; what had ended before is whole.
        """
        for batch in batches:
            if self._stop() is None:
                self._train(batch)

    def _train(self, batch: Sequence[Job]) -> None:
        begun = time.perf_counter()
        configs = {job.number: job.config for job in batch}
        parts: dict[Member, Parts] = {}
        jobs: dict[Member, Job] = {}
        for job in batch:
            config = configs[job.number]
            built = build(config, self._datasets.load)
            looking = diagnose(config)
            member = Member(**ingredients(built, config), diagnosis=looking)
            parts[member], jobs[member] = built, job
        first = configs[batch[0].number]
        starts = {job.number: starting_point(job) for job in batch}
        begun_on = starts[batch[0].number]
        name = first["engine"]["name"]
        if begun_on is not None and name == "auto":
            name = begun_on.facts["engine"]  # another one would not go on bit for bit
        try:
            engine = ENGINES.build(
                name,
                runs=[member.run for member in jobs],
                data=next(iter(parts.values())).data,
                loader=next(iter(parts.values())).loader,
                epochs=first["epochs"],
            )
        except UserError as error:
            write_folders(batch)
            for job in batch:
                self._fail(job, None, error)
            return
        write_folders(batch)
        for member, job in jobs.items():
            member.observers = self._observers(configs[job.number], job)
            self._warn(configs[job.number], member.data)
        setup = (time.perf_counter() - begun) / len(batch)

        def ended(member: Member, result: Result) -> None:
            job = jobs[member]
            result.seconds["setup"] = setup
            leave(result, parts.pop(member), configs.pop(job.number), job.folder)
            reason = f"engine: {result.engine} ({result.engine_reason})\n"
            self._curves.keep(result)
            if (board := self._boards.pop(job.number, None)) is not None:
                self._curves.write_end(board, result)
            _write_log(job, (reason if result.engine_reason else "") + table(result))
            self._note(job, result.to_json())

        def failed(member: Member, error: Exception) -> None:
            self._fail(jobs[member], member.failed(error), error)

        def stop() -> str | None:
            for member in together.members[:1]:  # all are at the same step
                done = member.step / (member.epochs * member.clock.steps_per_epoch)
                self._display.going(len(together.members), done)
            return self._stop()

        together = Batch(list(jobs), engine, ended=ended, failed=failed)
        for member, job in jobs.items():
            if (capture := starts.pop(job.number)) is not None:
                member.restore(capture)
        together.fit(stop)

    def _observers(self, config: Mapping[str, Any], job: Job) -> list[Observer]:
        """Return who watches a run; its curves are left out where only some are to be kept."""
        found = observers(config, job.folder)
        if config["logging"]["runs"] == "all":
            return found
        for board in [observer for observer in found if isinstance(observer, TensorBoard)]:
            found.remove(board)
            self._boards[job.number] = board
        return found

    def _fail(self, job: Job, result: Result | None, error: Exception) -> None:
        """Write what is known of a run that raised."""
        if result is not None:
            result.save(job.folder)
            content: Mapping[str, Any] = result.to_json()
        else:
            content = unmeasured(job, error)
            write_atomically(job.folder / RESULT_FILE, json.dumps(content, indent=2) + "\n")
        _write_log(job, "".join(traceback.format_exception(error)), level="ERROR")
        log.error("%s failed: %s", job.name, error)
        self._note(job, content)

    def _note(self, job: Job, content: Mapping[str, Any]) -> None:
        self.results[job.number] = content
        self._display.ended(job, content)

    def _warn(self, config: Mapping[str, Any], data: Dataset) -> None:
        """Say once what about runs, or their data, is hardly meant."""
        said = [f"warning: {warning}"] if (warning := doubt(config)) else []
        key = Datasets.key(config)
        if config["preflight"] and key not in self._warned:
            self._warned.add(key)
            said += [f"advice: {advice}" for advice in advice_on_data(data)]
        for words in said:
            if words not in self._warned:
                self._warned.add(words)
                log.warning("%s", words)


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
