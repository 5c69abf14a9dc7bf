"""The Hydra application behind ``python -m gdframe``: plugins, composition, runs, exit code."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.check import check
from gdframe.config.folders import claimed, discard, refuse_taken, register_resolver, unwritable
from gdframe.config.messages import explain, named_plugins
from gdframe.config.schema import config_folder, register_nodes
from gdframe.config.values import CONFIG_FILE, anchor, plain
from gdframe.errors import UserError
from gdframe.plugins import absolute, load_plugins

if TYPE_CHECKING:
    from gdframe.result import Result
    from gdframe.sweeps.job import Job

log = logging.getLogger("gdframe")


class Task:
    """What Hydra calls for a run, and gdframe's launcher for a sweep; keeps what came of it.

    Args:
        started: when set-up began, by ``time.perf_counter``.

    Attributes:
        codes: exit codes of the runs that ended.
        folder: the sweep's, if it is one.
        told: whether the sweep's summary was written and shown.
        error: the first that a run raised.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.codes: list[int] = []
        self.folder: Path | None = None
        self.told = False
        self.error: Exception | None = None
        self.metric: str | None = None

    def __call__(self, config: DictConfig) -> float | None:
        """Train one run inside Hydra; its folder is gone again if its input is wrong."""
        settings = HydraConfig.get()
        folder = Path(settings.runtime.output_dir)
        in_sweep = settings.mode == RunMode.MULTIRUN
        if in_sweep:
            self.folder = folder.parent
        try:
            values = plain(config)
            check(values)
            from gdframe.config.launch import launch as train
            from gdframe.sweeps.metric import check_metric, value_of

            self.metric = values["sweep"]["metric"]
            check_metric(self.metric)
            anchor(config)
            if (folder / CONFIG_FILE).exists():
                OmegaConf.save(config, folder / CONFIG_FILE)
            result = train(plain(config), folder, started=self.started)
        except OSError as error:
            self.error = self.error or unwritable(error, folder)
            return None
        except Exception as error:  # Hydra would print it, and end a sweep: the caller raises it
            if isinstance(error, UserError):
                discard(folder)
            if in_sweep:
                log.error("run %s failed: %s", folder.name, error)
            self.error = self.error or error
            return None
        self.started = time.perf_counter()
        self.codes.append(exit_code(result))
        finish(result)
        if self.codes[-1] >= 128:
            raise KeyboardInterrupt
        value = value_of(result.to_json(), self.metric)
        return math.nan if value is None else value

    def sweep(self, folder: Path, jobs: Sequence[Job], *, most: int | None) -> list[float]:
        """Train the runs of a sweep together; return what each is compared by, NaN for nothing.

        Raises:
            UserError: a run cannot be trained as it is configured; none was.
        """
        from gdframe.sweeps.command import exit_codes, run_sweep, values

        if not jobs:
            raise UserError("the sweep is empty: no combination of values is left to train")
        config = jobs[0].config
        self.folder, self.metric = folder, config["sweep"]["metric"]
        try:
            outcome = run_sweep(
                folder,
                jobs,
                most=most,
                metric=self.metric,
                reuse=config["sweep"]["reuse"],
                show=config["logging"]["progress"],
            )
        except OSError as error:
            raise unwritable(error, folder) from error
        self.told = True
        self.codes += exit_codes(outcome)
        if outcome.interrupted:
            raise KeyboardInterrupt
        return values(outcome, self.metric)


def run_application(argv: list[str]) -> int:
    """Train what a command line asks for, one run or a sweep; return the exit code.

    Raises:
        UserError: the command line, the data or a plugin cannot be used; nothing was written.
    """
    task = Task(started=time.perf_counter())
    overrides = [word for word in argv if "=" in word and not word.startswith("-")]
    plugins = [absolute(plugin) for plugin in named_plugins(overrides)]
    load_plugins(plugins)
    register_nodes()
    register_resolver()
    named_folders = [
        Path(override.partition("=")[2].strip("'\""))
        for override in overrides
        if override.startswith(("hydra.run.dir=", "hydra.sweep.dir=", "sweep.dir="))
    ]
    if "sweep.reuse=true" not in [override.lower() for override in overrides]:
        for folder in named_folders:
            refuse_taken(folder)

    application = hydra.main(
        version_base="1.3", config_path=str(config_folder()), config_name="config"
    )(task)
    named = [_with_plugins(word, plugins) for word in argv]
    try:
        with _hydra_environment(named), _plugins_of_hydra():
            application()
        if task.error is not None:
            raise task.error
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    finally:
        if not task.codes:
            for folder in (*claimed(), *named_folders):
                discard(folder)
        if task.folder is not None and task.folder.is_dir() and not task.told:
            _summarize(task.folder, task.metric)
    return _combined(task)


def resume_sweep(folder: Path) -> int:
    """Train what a sweep left undone; return the exit code.

    Raises:
        UserError: the folder is no sweep's, or a run can no longer be trained.
    """
    from gdframe.sweeps.command import exit_codes, run_sweep
    from gdframe.sweeps.hydra import speak
    from gdframe.sweeps.job import read_jobs

    register_nodes()
    jobs = read_jobs(folder)
    config = jobs[0].config if jobs else {}
    load_plugins(config.get("plugins", []))
    speak()
    try:
        outcome = run_sweep(
            folder,
            None,
            metric=config["sweep"]["metric"],
            show=config["logging"]["progress"],
        )
    except OSError as error:
        raise unwritable(error, folder) from error
    if outcome.interrupted:
        raise KeyboardInterrupt
    return max(exit_codes(outcome), default=0)


def finish(result: Result) -> None:
    """Print the table of a run."""
    from gdframe.console import table

    log.info("%s", table(result))


def exit_code(result: Result) -> int:
    """Return the exit code of a single run."""
    return {"diverged": 3, "interrupted": 130, "failed": 1}.get(str(result.status), 0)


def _combined(task: Task) -> int:
    """Return the exit code of the run, or of a sweep, where a diverged run is a result."""
    if task.folder is None:
        return task.codes[0] if task.codes else 0
    return max((code for code in task.codes if code != 3), default=0)


def _summarize(folder: Path, metric: str | None) -> None:
    """Write and show the summary of a sweep that another launcher has trained."""
    from gdframe.sweeps.report import summarize
    from gdframe.sweeps.summary import read_records

    records = read_records(folder)
    if records:
        print(summarize(folder, records, metric).text)


def _with_plugins(word: str, plugins: list[str]) -> str:
    """Name plugin files by their absolute paths, so that a run can be resumed from anywhere."""
    if not word.startswith("plugins="):
        return word
    quoted = ",".join("'" + plugin.replace("'", "\\'") + "'" for plugin in plugins)
    return f"plugins=[{quoted}]"


@contextmanager
def _plugins_of_hydra() -> Iterator[None]:
    """Let Hydra find gdframe's launcher and sweeper, and no other application."""
    folder = str(Path(__file__).resolve().parent / "_hydra")
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextmanager
def _hydra_environment(argv: list[str]) -> Iterator[None]:
    """Give Hydra its command line, and have it raise its errors instead of printing them."""
    before, flag = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [before[0], *argv]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = before
        if flag is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = flag


def configure_log(folder: Path) -> None:
    """Send what a run says to standard output, and to the log in its folder."""
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    file = logging.FileHandler(folder / "gdframe.log", delay=True)
    file.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[console, file], force=True)
    log.setLevel(logging.INFO)
