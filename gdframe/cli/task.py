"""The task function that Hydra calls: it trains a run, or all runs of a sweep."""

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

from gdframe.cli.garbage import look_as_before
from gdframe.config.folders import discard, hold, refuse_occupied, register_resolver, unwritable
from gdframe.config.stored import config_text, resolve, text_with_rate
from gdframe.config.trusted_plugins import digests
from gdframe.config.validation import check
from gdframe.config.values import anchor, dump, plain
from gdframe.errors import Exit, FailedError, UserError, reason_of
from gdframe.registry.plugins import load_plugins
from gdframe.runs.files import NotWrittenError, storing
from gdframe.runs.log import add_log
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import Status

if TYPE_CHECKING:
    from gdframe.runs.result import Result
    from gdframe.sweeps.executing.job import Job
    from gdframe.sweeps.executing.train_sweep import SweepOutcome

log = logging.getLogger("gdframe")


class Task:
    """The task function of gdframe's application; it collects the results of its runs.

    Launchers of other processes copy the task. The results in a copy are lost, so that workers
    report by the files of their runs.

    Args:
        started: start of the set-up, by ``time.perf_counter``.

    Attributes:
        codes: exit codes of the runs that ended.
        folder: the sweep folder, or None for a single run.
        metric: the metric that runs are compared by, or None for the default.
        outcome: the results of the sweep.
        error: the first error of a run.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.codes: list[int] = []
        self.folder: Path | None = None
        self.metric: str | None = None
        self.outcome: SweepOutcome | None = None
        self.error: Exception | None = None
        self._process = os.getpid()

    def __call__(self, config: DictConfig) -> float | None:
        """Train one run inside Hydra; remove its folder if the input is wrong."""
        settings = HydraConfig.get()
        folder = Path(settings.runtime.output_dir)
        in_sweep = settings.mode == RunMode.MULTIRUN
        if in_sweep and not config.sweep.pack:
            self.folder = folder.parent
        try:
            if config.sweep.pack:
                return self._train(config, folder)
            with hold(folder):
                refuse_occupied(folder)
                return self._train_held(config, folder, in_sweep=in_sweep)
        except NotWrittenError as error:
            self.error = self.error or unwritable(error, folder)
        except Exception as error:  # Hydra would end a sweep: the caller raises it later
            if in_sweep:
                log.error("run %s failed: %s", folder.name, error)
            self.error = self.error or error
        return None

    def _train_held(self, config: DictConfig, folder: Path, *, in_sweep: bool) -> float | None:
        """Train in a folder that is held; write there that the run failed, or nothing at all."""
        try:
            return self._train(config, folder)
        except NotWrittenError:
            raise
        except Exception as error:
            if in_sweep:
                _write_failure(folder, error)
                raise
            if (reason := reason_of(error)) is not None:
                has_output = RunFolder(folder).has_training_output()
                error = (FailedError if has_output else UserError)(reason)
            if isinstance(error, UserError):
                discard(folder)
            raise error

    def _train(self, config: DictConfig, folder: Path) -> float | None:
        values = plain(resolve(config))
        if os.getpid() != self._process:  # a worker, which has loaded no plugins
            load_plugins(values["plugins"])
            register_resolver()
        check(values)
        from gdframe.config.train_run import train_run
        from gdframe.sweeps.comparing.sweep_metric import check_metric, value_of, worst

        if values["sweep"]["pack"]:
            from gdframe.sweeps.executing.worker import jobs_of_pack, train_pack

            jobs = jobs_of_pack(values["sweep"])
            with storing():
                RunFolder(folder).write_config_text(OmegaConf.to_yaml(config))
            train_pack(Path(values["sweep"]["dir"]), jobs)
            return None
        self.metric = values["sweep"]["metric"]
        check_metric(self.metric)
        anchor(config)
        run, settings = RunFolder(folder), HydraConfig.get()
        text, texts = config_text(config), (list(settings.overrides.task), _hydra_text(settings))
        add_log(run)
        plugins = digests(values["plugins"])
        look_as_before()
        result = train_run(
            plain(config), run, started=self.started,
            write_config=lambda lr, reason: run.write_config_files(
                text_with_rate(config, text, lr, reason), *texts, plugins
            ),
        )  # fmt: skip
        self.started = time.perf_counter()
        self.codes.append(exit_code(result))
        log_result_table(result)
        if self.codes[-1] == Exit.INTERRUPTED:
            raise KeyboardInterrupt
        value = value_of(result.to_json(), self.metric)
        return worst(self.metric) if value is None else value

    def sweep(self, folder: Path, jobs: Sequence[Job], *, most: int | None) -> list[float]:
        """Train the runs of a sweep together; return the metric of each.

        Raises:
            UserError: a run cannot be trained; no run was trained.
        """
        from gdframe.sweeps.executing.train_sweep import train_sweep

        settings = self.expect(folder, jobs)
        look_as_before()
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
        return self.add(outcome)

    def expect(self, folder: Path, jobs: Sequence[Job]) -> dict[str, Any]:
        """Set the folder and the metric of a sweep; return the config of its first run.

        Raises:
            UserError: the sweep has no runs, or its metric is unknown.
        """
        from gdframe.sweeps.comparing.sweep_metric import check_metric

        if not jobs:
            raise UserError("the sweep is empty: no combination of values is left to train")
        settings = jobs[0].config
        check(settings)
        self.folder, self.metric = folder, settings["sweep"]["metric"]
        check_metric(self.metric)
        return settings

    def add(self, outcome: SweepOutcome) -> list[float]:
        """Add results of a sweep; return the metric of each of its runs.

        Raises:
            KeyboardInterrupt: a signal stopped the sweep.
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


def _write_failure(folder: Path, error: Exception) -> None:
    """Write the result of a failed run that has none."""
    run = RunFolder(folder)
    if run.find_result()[0] is None:
        run.write_result({"status": Status.FAILED, "reason": f"{type(error).__name__}: {error}"})


def _hydra_text(settings: Any) -> str:
    """Return Hydra's own config as YAML, without its help texts."""
    content = OmegaConf.to_container(settings, resolve=False, enum_to_str=True)
    assert isinstance(content, dict)
    shown = {key: value for key, value in content.items() if key not in ("help", "hydra_help")}
    return dump({"hydra": shown})


def log_result_table(result: Result) -> None:
    """Print the result table of a run."""
    from gdframe.runs.result_table import table

    log.info("%s", table(result))


def exit_code(result: Result) -> int:
    """Return the exit code of a single run."""
    codes = {
        Status.DIVERGED: Exit.DIVERGED,
        Status.INTERRUPTED: Exit.INTERRUPTED,
        Status.FAILED: Exit.FAILED,
    }
    return codes.get(result.status, Exit.OK)
