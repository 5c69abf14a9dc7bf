"""What Hydra calls: to train a run, or through gdframe's launcher all runs of a sweep."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gdframe.config.folders import discard, register_resolver, unwritable
from gdframe.config.validation import check
from gdframe.config.values import anchor, plain
from gdframe.errors import UserError
from gdframe.registry.plugins import load_plugins
from gdframe.runs.files import NotWrittenError, storing
from gdframe.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from gdframe.runs.result import Result
    from gdframe.sweeps.executing.job import Job
    from gdframe.sweeps.executing.train_sweep import Outcome

log = logging.getLogger("gdframe")


class Task:
    """The task function of gdframe's application; it keeps what came of its runs.

    Launchers of other processes copy it there, and what it keeps in a copy is lost: they tell by
    the files that runs leave.

    Args:
        started: when set-up began, by ``time.perf_counter``.

    Attributes:
        codes: exit codes of the runs that ended.
        folder: the sweep's, if it is one.
        metric: what its runs are compared by, if that was named.
        outcome: what the sweep came to.
        error: the first that a run raised.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.codes: list[int] = []
        self.folder: Path | None = None
        self.metric: str | None = None
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self._process = os.getpid()

    def __call__(self, config: DictConfig) -> float | None:
        """Train one run inside Hydra; its folder is gone again if its input is wrong."""
        settings = HydraConfig.get()
        folder = Path(settings.runtime.output_dir)
        in_sweep = settings.mode == RunMode.MULTIRUN
        if in_sweep and not config.sweep.pack:
            self.folder = folder.parent
        try:
            return self._train(config, folder)
        except NotWrittenError as error:
            self.error = self.error or unwritable(error, folder)
        except Exception as error:  # Hydra would print it, and end a sweep: the caller raises it
            if in_sweep:
                log.error("run %s failed: %s", folder.name, error)
                _note_failure(folder, error)
            elif isinstance(error, UserError):
                discard(folder)
            self.error = self.error or error
        return None

    def _train(self, config: DictConfig, folder: Path) -> float | None:
        values = plain(config)
        if os.getpid() != self._process:  # a worker, which has loaded nothing yet
            load_plugins(values["plugins"])
            register_resolver()
        check(values)
        from gdframe.config.train_run import train_run
        from gdframe.sweeps.comparing.sweep_metric import check_metric, value_of, worst

        if values["sweep"]["pack"]:
            from gdframe.sweeps.executing.worker import train_pack

            train_pack(values["sweep"])
            return None
        self.metric = values["sweep"]["metric"]
        check_metric(self.metric)
        anchor(config)
        if RunFolder(folder).is_run():
            with storing():
                RunFolder(folder).write_config_text(OmegaConf.to_yaml(config))
        result = train_run(plain(config), RunFolder(folder), started=self.started)
        self.started = time.perf_counter()
        self.codes.append(exit_code(result))
        finish(result)
        if self.codes[-1] >= 128:
            raise KeyboardInterrupt
        value = value_of(result.to_json(), self.metric)
        return worst(self.metric) if value is None else value

    def sweep(self, folder: Path, jobs: Sequence[Job], *, most: int | None) -> list[float]:
        """Train the runs of a sweep together; return what each is compared by.

        Raises:
            UserError: a run cannot be trained as it is configured; none was.
        """
        from gdframe.sweeps.executing.train_sweep import train_sweep

        settings = self.expect(folder, jobs)
        try:
            outcome = train_sweep(
                folder,
                jobs,
                most=most,
                metric=self.metric,
                reuse=settings["sweep"]["reuse"],
                show=settings["logging"]["progress"],
                before=self.outcome,
            )
        except OSError as error:
            raise unwritable(error, folder) from error
        return self.gathered(outcome)

    def expect(self, folder: Path, jobs: Sequence[Job]) -> dict[str, Any]:
        """Take note of what is to be trained; return the first run's config.

        Raises:
            UserError: it is nothing, or compared by what is no number.
        """
        from gdframe.sweeps.comparing.sweep_metric import check_metric

        if not jobs:
            raise UserError("the sweep is empty: no combination of values is left to train")
        settings = jobs[0].config
        self.folder, self.metric = folder, settings["sweep"]["metric"]
        check_metric(self.metric)
        return settings

    def gathered(self, outcome: Outcome) -> list[float]:
        """Take note of what a sweep came to; return what its runs are compared by.

        Raises:
            KeyboardInterrupt: it was asked to end.
        """
        from gdframe.sweeps.writing.conclusion import exit_codes, values

        if self.outcome is not None:
            jobs = {job.number: job for job in (*self.outcome.jobs, *outcome.jobs)}
            results = self.outcome.results | outcome.results
            changed = self.outcome.changed | outcome.changed
            outcome = replace(outcome, jobs=list(jobs.values()), results=results, changed=changed)
        self.outcome = outcome
        self.codes = exit_codes(outcome)
        if outcome.interrupted:
            raise KeyboardInterrupt
        return values(outcome, self.metric)


def _note_failure(folder: Path, error: Exception) -> None:
    """Write that a run failed, where it left no result of its own."""
    run = RunFolder(folder)
    if run.read_result() is None:
        run.write_result({"status": "failed", "reason": f"{type(error).__name__}: {error}"})


def finish(result: Result) -> None:
    """Print the table of a run."""
    from gdframe.runs.result_table import table

    log.info("%s", table(result))


def exit_code(result: Result) -> int:
    """Return the exit code of a single run."""
    return {"diverged": 3, "interrupted": 130, "failed": 1}.get(str(result.status), 0)
