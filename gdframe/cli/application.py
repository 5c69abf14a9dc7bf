"""The Hydra application behind ``python -m gdframe``: plugins, composition, runs, exit code."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gdframe.cli.task import Task
from gdframe.config.folders import (
    claimed,
    discard,
    new_sweep,
    refuse_run,
    refuse_taken,
    register_resolver,
    unwritable,
)
from gdframe.config.hydra_internals import wrapping_launchers
from gdframe.config.messages import explain, named_plugins, refuse_null, refuse_several
from gdframe.config.schema import config_folder, register_nodes
from gdframe.errors import FailedError, UserError
from gdframe.registry.plugins import absolute, load_plugins
from gdframe.runs.run_folder import RunFolder

log = logging.getLogger("gdframe")


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
    refuse_null(overrides)
    register_resolver()
    named_folders = [
        Path(override.partition("=")[2].strip("'\""))
        for override in overrides
        if override.startswith(("hydra.run.dir=", "hydra.sweep.dir=", "sweep.dir="))
    ]
    reuse = "sweep.reuse=true" in [override.lower() for override in overrides]
    if reuse and not named_folders:
        raise UserError("sweep.reuse=true adds to a sweep: name its folder by sweep.dir=FOLDER")
    for folder in named_folders:
        (refuse_run if reuse else refuse_taken)(folder)
    refuse_several(overrides)
    application = hydra.main(
        version_base="1.3", config_path=str(config_folder()), config_name="config"
    )(task)
    named = [_with_plugins(word, plugins) for word in argv] + _sweep_folder(argv, named_folders)
    try:
        with _hydra_environment(named), _plugins_of_hydra(), wrapping_launchers(_in_groups):
            application()
        if task.error is not None:
            raise task.error
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    finally:
        if not task.codes:
            for folder in (*claimed(), *named_folders):
                discard(folder)
        _conclude(task)
    return _combined(task)


def _sweep_folder(argv: Sequence[str], named: Sequence[Path]) -> list[str]:
    """Name a sweep's folder, so that workers in other processes need not find it out."""
    if not {"-m", "--multirun"} & set(argv):
        return []
    if any(word.startswith("hydra.sweep.dir=") for word in argv):
        return []
    folder = named[0] if any(word.startswith("sweep.dir=") for word in argv) else new_sweep()
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return [f"hydra.sweep.dir='{quoted}'"]


def resume_sweep(folder: Path) -> int:
    """Train what a sweep left undone; return the exit code.

    Raises:
        UserError: the folder is no sweep's, or a run can no longer be trained.
    """
    from gdframe.sweeps.executing.hydra_launch import configure_console
    from gdframe.sweeps.executing.job import read_jobs
    from gdframe.sweeps.executing.train_sweep import train_sweep

    register_nodes()
    task = Task(started=time.perf_counter())
    jobs = read_jobs(folder)
    load_plugins([p for job in jobs[:1] for p in job.config["plugins"]])
    settings = task.expect(folder, jobs)
    configure_console()
    try:
        show = settings["logging"]["progress"]
        task.gathered(train_sweep(folder, None, metric=task.metric, show=show))
    except OSError as error:
        raise unwritable(error, folder) from error
    finally:
        _conclude(task)
    return _combined(task)


def _conclude(task: Task) -> None:
    """Write and show the summary of a sweep, whoever has trained it."""
    if task.folder is None or not task.folder.is_dir():
        return
    raised = sys.exc_info()[1]
    wrong = isinstance(raised, UserError) and not isinstance(raised, FailedError)
    if wrong and task.outcome is None:  # nothing was trained
        return
    on_the_way = raised is not None  # what is raised says more than a full disk here
    with suppress(*([OSError] if on_the_way else [])):
        if task.outcome is not None:
            from gdframe.sweeps.writing.conclusion import conclude

            print(conclude(task.folder, task.outcome, task.metric).text)
            return
        from gdframe.sweeps.comparing.records import read_records
        from gdframe.sweeps.writing.sweep_table import compare

        records = read_records(task.folder)
        if records:
            summary = compare(task.folder, records, task.metric)
            print(summary.text)
            summary.write(task.folder)
        failed = [r for r in records if (r.result or {}).get("status") == "failed"]
        task.codes += [1 for _ in failed]


def _combined(task: Task) -> int:
    """Return the exit code of the run, or of a sweep, where a diverged run is a result."""
    if task.folder is None:
        return task.codes[0] if task.codes else 0
    return max((code for code in task.codes if code != 3), default=0)


def _with_plugins(word: str, plugins: list[str]) -> str:
    """Name plugin files by their absolute paths, so that a run can be resumed from anywhere."""
    if not word.startswith("plugins="):
        return word
    plain = all(re.fullmatch(r"[\w./-]+", plugin) for plugin in plugins)
    quoted = plugins if plain else ["'" + plugin.replace("'", "\\'") + "'" for plugin in plugins]
    return f"plugins=[{','.join(quoted)}]"


@contextmanager
def _plugins_of_hydra() -> Iterator[None]:
    """Let Hydra find gdframe's launcher and sweeper, and no other application."""
    folder = str(Path(__file__).resolve().parents[1] / "_hydra")
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _in_groups(launcher: Any, *args: Any, **settings: Any) -> Any:
    """Return a launcher that gets groups of runs, whichever sweeper asks it to train them."""
    plugin = importlib.import_module("hydra_plugins.gdframe_launcher")
    return plugin.with_batches(launcher, *args, **settings)


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
    file = RunFolder(folder).log_to_file()
    file.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[console, file], force=True)
    log.setLevel(logging.INFO)
