"""Trains one run from config to result, new or resumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from gdframe.config.automatic_rate import loading_once, with_chosen_rate
from gdframe.config.build import unused_settings
from gdframe.config.construct import construct
from gdframe.config.messages import apply_override
from gdframe.config.observers import build_observers
from gdframe.config.override_syntax import named_plugins, parse
from gdframe.config.overrides import refuse_unheard
from gdframe.config.prepare import PreparedRun, make_group, prepare
from gdframe.config.schema import register_nodes
from gdframe.config.stored import config_text, resolve, stored_reason, text_with_rate
from gdframe.config.trusted_plugins import digests, load_stored
from gdframe.config.validation import check
from gdframe.config.values import name_data, plain, read_config
from gdframe.errors import UserError, counted, escaped, first_line, in_words, printable
from gdframe.observers import Observer, preparing
from gdframe.registry import ENGINES, SCHEDULES
from gdframe.runs.checkpoint_file import Capture
from gdframe.runs.files import NotWrittenError, storing
from gdframe.runs.folder import DamagedError
from gdframe.runs.further_result import executed_steps, further_result
from gdframe.runs.log import add_log
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.start_anew import refuse_start_anew
from gdframe.schedules import Schedule
from gdframe.training.outcome import failed_result
from gdframe.training.run import Run
from gdframe.training.run_group import RunGroup
from gdframe.training.trainer import train_alone

log = logging.getLogger("gdframe")

RESUMABLE = (
    "epochs", "device", "debug", "stopping", "evaluation", "logging", "checkpoint", "observer",
    "plugins",
)  # fmt: skip
"""Keys that may change when a run is resumed: they do not change its steps."""


def train_run(
    config: Mapping[str, Any],
    folder: RunFolder,
    *,
    write_config: Callable[[float, str], None],
    resume: bool = False,
    started: float | None = None,
    observers: Sequence[Observer] = (),
) -> Result:
    """Train one run and write its folder.

    Args:
        config: plain values, checked.
        folder: folder of the run.
        write_config: called with the learning rate, and why ``lr=auto`` chose it, as soon as it is
            known that the run can be trained; writes the config of the run.
        resume: whether to continue from the newest checkpoint.
        started: start of the set-up, by ``time.perf_counter``.
        observers: watch the run besides those that the config names.

    Raises:
        UserError: the run cannot be built; nothing was written.
        OSError: the folder cannot be written to.
    """
    started = time.perf_counter() if started is None else started
    folder = folder.absolute()
    with folder.lock():
        capture, problems = _resumed_checkpoint(folder) if resume else (None, [])
        for problem in problems:
            log.warning("warning: %s", problem)
        with preparing() if config["logging"]["progress"] else nullcontext():
            load = loading_once()
            config, lr_reason = with_chosen_rate(config, load)
            if resume and capture is None:  # it ended before its first checkpoint
                lr_reason = lr_reason or stored_reason(folder.read_config_text())
            prepared = prepare(config, folder, load, lr_reason=lr_reason)
            group = make_group([prepared], [capture])
        run = prepared.run
        done = run.step // run.clock.steps_per_epoch
        if resume:
            done = max(done, _warn_of_steps_again(folder, run))
        if done > config["epochs"]:
            raise UserError(f"epochs={config['epochs']}: the run has already trained {done} epochs")
        run.observers = [*observers, *build_observers(config, folder, progress=True)]
        with storing():
            write_config(config["lr"], run.lr_reason)
        _log_advice(prepared, resume=resume)
        setup = time.perf_counter() - started
        result = _fit(prepared, group)
        result.seconds["setup"] = setup
        with storing():
            prepared.save(result)
            if not folder.is_run() and folder.path.exists():
                log.warning("warning: %s: its config was removed, and is written again", folder)
                write_config(config["lr"], run.lr_reason)
        return result


def _warn_of_steps_again(folder: RunFolder, run: Run) -> int:
    """Warn if a resumed run begins far behind its result; return the epochs of this result."""
    result = folder.find_result()[0] or {}
    steps, epochs = executed_steps(result), result.get("epochs")
    if steps is None or not isinstance(epochs, int):
        return 0
    if steps > run.executed + run.undone_before:
        log.warning(
            "warning: %s: the run goes on from step %s, its newest whole checkpoint, and had "
            "executed %s before: its curves from there on are written again",
            folder, f"{run.step:,}", counted(steps, "step"),
        )  # fmt: skip
    return epochs


def _resumed_checkpoint(folder: RunFolder) -> tuple[Capture | None, list[str]]:
    """Return the checkpoint to resume from, or None for the start, and messages on damaged ones.

    Raises:
        UserError: the run has ended without a whole checkpoint, or all are damaged.
    """
    try:
        capture, problems = folder.load_checkpoint()
    except DamagedError:
        refuse_start_anew(folder)
        raise
    if capture is None:
        refuse_start_anew(folder)
    return capture, problems


def _log_advice(prepared: PreparedRun, *, resume: bool) -> None:
    """Log warnings, advice and the choice of the engine."""
    for note in prepared.spec.data.notes if not resume else ():
        log.info("data          %s", printable(note))
    unused = unused_settings(prepared.config)
    for warning in [*prepared.warnings(), *([unused] if unused else [])]:
        log.warning("warning: %s", warning)
    for advice in prepared.advice() if not resume else ():
        log.warning("advice: %s", advice)
    engine = prepared.run.engine
    if engine.reason:
        log.info("engine: %s (%s)", ENGINES.name_of(engine), engine.reason)


def _fit(prepared: PreparedRun, group: RunGroup) -> Result:
    """Train; write the measurements of a run that raises."""
    try:
        return train_alone(group)
    except (NotWrittenError, UserError):
        raise
    except Exception as error:
        failure = failed_result(prepared.run, error)
        if failure is not None and further_result(prepared.folder, failure) is None:
            failure.save(prepared.folder.path)
        if isinstance(error, OSError):  # of a component, not of the run folder
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise


def resume_run(folder: Path, overrides: Sequence[str], *, started: float | None = None) -> Result:
    """Resume a run from its newest checkpoint, or from its start if it has none and has not ended.

    Args:
        folder: folder of the run.
        overrides: such as ``epochs=200``; only keys that do not change the steps of the run.
        started: start of the set-up, by ``time.perf_counter``.

    Raises:
        UserError: the folder is not a run folder, an override would change the steps, its plugins
            are not known to be the user's, or the run has ended and has no checkpoint.
    """
    run_folder = RunFolder(folder)
    if not run_folder.is_run():
        read_config(folder)  # tells why it is none
    with run_folder.lock():
        return _resume(run_folder.absolute(), overrides, started)


def _resume(run_folder: RunFolder, overrides: Sequence[str], started: float | None) -> Result:
    folder = run_folder.path
    config = read_config(folder)
    before = plain(config)
    named, stored = named_plugins(overrides), run_folder.read_plugins()
    plugins = load_stored(folder, before["plugins"], stored, named, "plugins=")
    register_nodes()  # also those of the plugins
    refuse_unheard(overrides)
    for override in parse(overrides):
        key = override.key_or_group
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: a run is resumed with one value, not several")
        cosine = key == "schedule.epochs" and before["schedule"].get("epochs", 0) is None
        if key.split(".")[0] not in RESUMABLE and not cosine:
            raise UserError(
                f"{key}={override.value()}: a resumed run can change only "
                f"{in_words(RESUMABLE)}; start a new run to change more"
            )
        apply_override(config, override)
    config.plugins = [escaped(plugin) for plugin in plugins]
    try:
        after = plain(resolve(config))
    except OmegaConfBaseException as error:
        raise UserError(f"{' '.join(overrides)}: {first_line(error)}; give plain values") from error
    check(after)
    schedule: Schedule = construct(SCHEDULES, after["schedule"], seed=after["seed"])
    if schedule.uses_run_length and after["epochs"] != before["epochs"]:
        keep = f"add schedule.epochs={before['epochs']} to keep them and hold the last one, or "
        raise UserError(
            f"schedule={after['schedule']['name']} lasts as long as the run: "
            f"epochs={after['epochs']} would change its learning rates from the first step; "
            f"{keep if 'epochs' in after['schedule'] else ''}start a new run"
        )
    text = config_text(config)

    def write_config(lr: float, reason: str) -> None:
        if named:
            run_folder.write_plugins(digests(plugins))
        run_folder.write_config_text(text_with_rate(config, text, lr, reason))

    add_log(run_folder)
    name_data(after)
    return train_run(after, run_folder, write_config=write_config, resume=True, started=started)
