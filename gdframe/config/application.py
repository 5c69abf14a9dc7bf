"""The Hydra application behind ``python -m gdframe``: plugins, composition, runs, exit code."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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

log = logging.getLogger("gdframe")


@dataclass
class _Launch:
    """What one call of the application did."""

    started: float
    codes: list[int] = field(default_factory=list)
    sweep: Path | None = None
    error: Exception | None = None


def run_application(argv: list[str]) -> int:
    """Train what a command line asks for, one run or a sweep; return the exit code.

    Raises:
        UserError: the command line, the data or a plugin cannot be used; nothing was written.
    """
    launch = _Launch(started=time.perf_counter())
    overrides = [word for word in argv if "=" in word and not word.startswith("-")]
    plugins = [absolute(plugin) for plugin in named_plugins(overrides)]
    load_plugins(plugins)
    register_nodes()
    register_resolver()
    named_folders = [
        Path(override.partition("=")[2].strip("'\""))
        for override in overrides
        if override.startswith(("hydra.run.dir=", "hydra.sweep.dir="))
    ]
    for folder in named_folders:
        refuse_taken(folder)

    def task(config: DictConfig) -> float | None:
        return _task(config, launch)

    application = hydra.main(
        version_base="1.3", config_path=str(config_folder()), config_name="config"
    )(task)
    named = [_with_plugins(word, plugins) for word in argv]
    try:
        with _hydra_environment(named):
            application()
        if launch.error is not None:
            raise launch.error
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    finally:
        if not launch.codes:
            for folder in (*claimed(), *named_folders):
                discard(folder)
        if launch.sweep is not None and launch.sweep.is_dir():
            _summarize(launch.sweep)
    return _combined(launch)


def _task(config: DictConfig, launch: _Launch) -> float | None:
    """Train one run inside Hydra; its folder is gone again if its input is wrong."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    in_sweep = settings.mode == RunMode.MULTIRUN
    if in_sweep:
        launch.sweep = folder.parent
    try:
        values = plain(config)
        check(values)
        from gdframe.config.launch import launch as train

        anchor(config)
        if (folder / CONFIG_FILE).exists():
            OmegaConf.save(config, folder / CONFIG_FILE)
        result = train(plain(config), folder, started=launch.started)
    except OSError as error:
        launch.error = launch.error or unwritable(error, folder)
        return None
    except Exception as error:  # Hydra would print it, and end a sweep: the caller raises it
        if isinstance(error, UserError):
            discard(folder)
        if in_sweep:
            log.error("run %s failed: %s", folder.name, error)
        launch.error = launch.error or error
        return None
    launch.started = time.perf_counter()
    launch.codes.append(exit_code(result))
    finish(result)
    if launch.codes[-1] >= 128:
        raise KeyboardInterrupt
    return result.validation_loss if result.validation_loss is not None else result.objective


def finish(result: Result) -> None:
    """Print the table of a run."""
    from gdframe.console import table

    log.info("%s", table(result))


def exit_code(result: Result) -> int:
    """Return the exit code of a single run."""
    return {"diverged": 3, "interrupted": 130, "failed": 1}.get(str(result.status), 0)


def _combined(launch: _Launch) -> int:
    """Return the exit code of the run, or of a sweep, where a diverged run is a result."""
    if launch.sweep is None:
        return launch.codes[0] if launch.codes else 0
    return max((code for code in launch.codes if code != 3), default=0)


def _summarize(folder: Path) -> None:
    from gdframe.console import shown_path
    from gdframe.sweeps.summary import write_summary

    count = write_summary(folder)
    print(f"\n{count} runs in {shown_path(folder / 'summary.csv')}")


def _with_plugins(word: str, plugins: list[str]) -> str:
    """Name plugin files by their absolute paths, so that a run can be resumed from anywhere."""
    if not word.startswith("plugins="):
        return word
    quoted = ",".join("'" + plugin.replace("'", "\\'") + "'" for plugin in plugins)
    return f"plugins=[{quoted}]"


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
