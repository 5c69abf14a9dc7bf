"""The Hydra application behind ``python -m gdframe``: plugins, composition, runs, exit code."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gdframe.cli.help import help_text
from gdframe.cli.task import Task
from gdframe.config.compose import has_nodes_of_others
from gdframe.config.folders import (
    claimed,
    discard,
    hold,
    new_sweep,
    refuse_occupied,
    register_resolver,
    unwritable,
)
from gdframe.config.hydra_internals import (
    is_of_hydra,
    no_mode,
    refusing_unknown_paths,
    split,
    wrapping_launchers,
)
from gdframe.config.messages import explain, refuse_choices, refuse_several
from gdframe.config.override_syntax import named_plugins, parse, quoted, with_plugins
from gdframe.config.overrides import check_sweep, named_folder, refuse_pack, refuse_unheard
from gdframe.config.schema import config_folder, register_nodes
from gdframe.config.trusted_plugins import load_named, load_stored
from gdframe.config.values import name_data
from gdframe.errors import Exit, FailedError, UserError
from gdframe.runs.enclosing_sweeps import locked_sweeps
from gdframe.runs.log import configure_log
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.stopping import Status

LAUNCHER = "hydra_plugins.gdframe_launcher"
"""The module of gdframe's plugins for Hydra."""


def run_application(argv: list[str]) -> int:
    """Train the run or the sweep of a command line; return the exit code.

    Raises:
        UserError: the command line, the data or a plugin cannot be used; nothing was written.
    """
    task = Task(started=time.perf_counter())
    flags, overrides = split(argv)
    parsed = parse(overrides)
    refuse_unheard(overrides)
    if is_sweep := bool({"-m", "--multirun"} & set(flags)):
        check_sweep(parsed)
    else:
        refuse_pack(parsed)
    plugins = load_named(named_plugins(overrides))
    register_nodes()
    refuse_choices(overrides)
    register_resolver()
    if flags and set(flags) <= {"-h", "--help"}:  # with other flags Hydra's help heeds them
        with explaining(overrides):
            print(help_text(overrides))
        return Exit.OK
    folders, reuse = _named_folders(overrides, parsed, is_sweep=is_sweep)
    refuse_several(overrides)
    words = [with_plugins(word, plugins) for word in overrides]
    if is_sweep:
        words += _sweep_folder(parsed, folders.get("sweep.dir")) + _direction(parsed)
    with ExitStack() as held:  # locks on folders, until all is written
        used = list(folders.values())
        for folder in used:
            held.enter_context(hold(folder))
            refuse_occupied(folder, reuse=reuse)
        in_groups = partial(_in_groups_of, used, held)
        try:
            with explaining(overrides), _hydra(words, flags, parsed, in_groups):
                hydra.main(
                    version_base="1.3", config_path=str(config_folder()), config_name="config"
                )(task)()
                if task.error is not None:
                    raise task.error
        finally:
            if not task.codes:
                for folder in (*claimed(), *used):
                    discard(folder)
            _write_summary(task)
    return _exit_code(task)


def _named_folders(
    overrides: Sequence[str], parsed: Sequence[Override], *, is_sweep: bool
) -> tuple[dict[str, Path], bool]:
    """Return the folders that the user names, by key, and whether a sweep is added to.

    Raises:
        UserError: the keys contradict each other.
    """
    folders = {
        key: named_folder(word)
        for word, override in zip(overrides, parsed, strict=True)
        if (key := override.key_or_group) in ("hydra.run.dir", "hydra.sweep.dir", "sweep.dir")
        and "${" not in word  # Hydra makes the name
    }
    if is_sweep and (len(folders) > 1 or "hydra.run.dir" in folders):
        raise UserError(
            f"{' and '.join(folders)}: name the folder of a sweep once, with sweep.dir=FOLDER"
        )
    reuse = "sweep.reuse=true" in [override.lower() for override in overrides]
    if reuse and not folders:
        raise UserError("sweep.reuse=true adds to a sweep: name its folder with sweep.dir=FOLDER")
    return folders, reuse


@contextmanager
def explaining(overrides: Sequence[str]) -> Iterator[None]:
    """Turn Hydra's errors into messages on the overrides."""
    try:
        yield
    except Exception as error:
        is_of_system = isinstance(error, OSError) and not isinstance(error, HydraException)
        if is_of_hydra(error) and not is_of_system:
            raise explain(error, overrides) from error
        raise


@contextmanager
def _hydra(
    words: Sequence[str],
    flags: Sequence[str],
    parsed: Sequence[Override],
    in_groups: Callable[..., Any],
) -> Iterator[None]:
    """Give Hydra its command line, gdframe's plugins alone, and launchers of run groups."""
    with ExitStack() as stack:
        # flags come last: some take an optional value
        stack.enter_context(_hydra_environment([*words, *flags]))
        stack.enter_context(_plugins_of_hydra())
        stack.enter_context(refusing_unknown_paths())
        stack.enter_context(wrapping_launchers(in_groups))
        if not _may_set_mode(flags, parsed):
            stack.enter_context(no_mode())
        yield


def _in_groups_of(
    used: list[Path],
    held: ExitStack,
    launcher: Any,
    hydra_context: Any,
    task_function: Any,
    config: DictConfig,
) -> Any:
    """Hold the folder of a sweep, whose name Hydra may make only now, and launch in run groups."""
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    held.enter_context(hold(folder))
    refuse_occupied(folder, reuse=config.sweep.reuse)
    is_ours = config.hydra.launcher._target_.endswith(".BatchLauncher")
    is_basic = config.hydra.sweeper._target_.endswith(".BasicSweeper")
    SweepFolder(folder).check_places(by_others=is_basic or not is_ours)
    used.append(folder)
    return _in_groups(launcher, hydra_context, task_function, config)


def _may_set_mode(flags: Sequence[str], overrides: Sequence[Override]) -> bool:
    """Return whether an override or a config file may set ``hydra.mode``."""
    keys = {override.key_or_group for override in overrides}
    return bool(
        set(flags) - {"-m", "--multirun"}
        or keys & {"experiment", "hydra", "hydra.mode", "hydra.searchpath"}
        or has_nodes_of_others()
    )


def _sweep_folder(overrides: Sequence[Override], named: Path | None) -> list[str]:
    """Return the override that names the sweep folder for workers in other processes."""
    keys = [override.key_or_group for override in overrides]
    if "hydra.sweep.dir" in keys or (named is None and "sweep.dir" in keys):  # Hydra makes the name
        return []
    return [f"hydra.sweep.dir={quoted(str(named or new_sweep()))}"]


def _direction(overrides: Sequence[Override]) -> list[str]:
    """Return the override by which Optuna optimises the sweep's metric in its own direction."""
    values = {override.key_or_group: override.value() for override in overrides}
    if values.get("hydra/sweeper") != "optuna" or "hydra.sweeper.direction" in values:
        return []

    def direction(metric: str | None) -> str:
        from gdframe.sweeps.comparing.sweep_metric import goes_up

        return "maximize" if goes_up(metric) else "minimize"

    OmegaConf.register_new_resolver("gdframe_direction", direction, replace=True)
    return ["hydra.sweeper.direction='${gdframe_direction:${sweep.metric}}'"]


def resume_sweep(folder: Path, plugins: Sequence[str] = ()) -> int:
    """Train the unfinished runs of a sweep; return the exit code.

    Args:
        folder: the sweep folder.
        plugins: that the user names again.

    Raises:
        UserError: the folder is not a sweep folder, or a run can no longer be trained.
    """
    register_nodes()
    task = Task(started=time.perf_counter())
    # before its list of runs is read
    with SweepFolder(folder).lock(), locked_sweeps(folder, shared=True):
        return _resume(task, folder.absolute(), plugins)


def _resume(task: Task, folder: Path, plugins: Sequence[str]) -> int:
    from gdframe.sweeps.executing.job import named_metric, read_jobs
    from gdframe.sweeps.executing.train_sweep import train_sweep

    jobs = read_jobs(folder)
    stored = SweepFolder(folder).read_plugins()
    used = list(dict.fromkeys(plugin for job in jobs for plugin in job.config["plugins"]))
    names = load_stored(folder, used, stored, plugins, "plugins=")
    jobs = [job.with_plugins(names) for job in jobs]
    settings = task.expect(folder, jobs)
    task.metric = named_metric(folder)
    configure_log()
    name_data(*(job.config for job in jobs))
    try:
        show = settings["logging"]["progress"]
        task.add(train_sweep(folder, None, metric=task.metric, show=show, plugins=names))
    except OSError as error:
        raise unwritable(error, folder) from error
    finally:
        _write_summary(task)
    return _exit_code(task)


def _write_summary(task: Task) -> None:
    """Write and print the summary of a sweep, also if workers trained it."""
    if task.folder is None or not task.folder.is_dir():
        return
    error = sys.exc_info()[1]
    is_refused = isinstance(error, UserError) and not isinstance(error, FailedError)
    if is_refused and task.outcome is None:  # nothing was trained
        return
    # an error that is already raised tells more than a full disk here
    with suppress(*([] if error is None else [OSError])):
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
        failed = [r for r in records if (r.result or {}).get("status") == Status.FAILED]
        task.codes += [Exit.FAILED for _ in failed]


def _exit_code(task: Task) -> int:
    """Return the exit code of a run or a sweep; a diverged run of a sweep is a result."""
    if task.folder is None:
        return task.codes[0] if task.codes else Exit.OK
    return max((code for code in task.codes if code != Exit.DIVERGED), default=Exit.OK)


@contextmanager
def _plugins_of_hydra() -> Iterator[None]:
    """Make gdframe's launcher and sweeper visible to Hydra in this application only."""
    folder = str(Path(__file__).resolve().parents[1] / "_hydra")
    sys.path.append(folder)
    try:
        known = Plugins.instance()
        if f"{LAUNCHER}.BatchLauncher" not in known.class_name_to_class:
            # Hydra has looked for plugins before, when a config was composed
            plugin = importlib.import_module(LAUNCHER)
            known.register(plugin.BatchLauncher)
            known.register(plugin.CombinationSweeper)
        yield
    finally:
        sys.path.remove(folder)


def _in_groups(launcher: Any, *args: Any, **settings: Any) -> Any:
    """Return a launcher that receives run groups, whichever sweeper drives it."""
    plugin = importlib.import_module(LAUNCHER)
    return plugin.with_groups(launcher, *args, **settings)


@contextmanager
def _hydra_environment(argv: list[str]) -> Iterator[None]:
    """Set Hydra's command line, and make Hydra raise its errors instead of printing them."""
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
