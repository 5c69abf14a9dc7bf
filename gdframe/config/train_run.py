"""One run from config to result, new or resumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gdframe.config.build import build, build_diagnostics, build_run
from gdframe.config.messages import apply_override, parse
from gdframe.config.observers import build_observers
from gdframe.config.validation import check
from gdframe.config.values import plain, read_config
from gdframe.diagnostics.preflight import advice_on_curvature, advice_on_data, advice_on_rate
from gdframe.errors import UserError, in_words
from gdframe.observers import preparing
from gdframe.registry import ENGINES, SCHEDULES
from gdframe.runs.files import NotWrittenError, storing
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.schedules import Schedule
from gdframe.training.run_spec import RunSpec
from gdframe.training.trainer import Trainer

log = logging.getLogger("gdframe")

RESUMABLE = ("epochs", "device", "debug", "stopping", "logging", "checkpoint", "observer")
"""Keys that may change when a run goes on: they do not change its course."""


def launch(
    config: Mapping[str, Any], folder: Path, *, resume: bool = False, started: float | None = None
) -> Result:
    """Train one run and write its folder.

    Args:
        config: plain values, checked.
        folder: the run's folder.
        resume: whether to go on from its newest checkpoint.
        started: when set-up began, by ``time.perf_counter``.

    Raises:
        UserError: the config cannot be built; nothing was written.
        OSError: the folder cannot be written to.
    """
    started = time.perf_counter() if started is None else started
    run_folder = RunFolder(folder)
    with run_folder.lock():
        return _launch(config, run_folder, resume=resume, started=started)


def _launch(
    config: Mapping[str, Any], folder: RunFolder, *, resume: bool, started: float
) -> Result:
    spec = build(config)
    settings = config["logging"]
    engine, capture = config["engine"]["name"], None
    if resume:
        capture, problems = folder.load_checkpoint()
        for problem in problems:
            log.warning("warning: %s; the one before is used", problem)
        if capture is not None and engine == "auto":
            engine = capture.facts["engine"]  # another one would not go on bit for bit
    with preparing() if settings["progress"] else nullcontext():
        diagnostics = build_diagnostics(config)
        run = build_run(spec, config, diagnostics)
        trainer = Trainer.of(run, engine=engine)
    if warning := doubt(config):
        log.warning("warning: %s", warning)
    if config["preflight"] and not resume:
        curvature = advice_on_curvature(spec.objective) if diagnostics.curvature else []
        rate = advice_on_rate(diagnostics.stability)
        for advice in (*advice_on_data(spec.data), *rate, *curvature):
            log.warning("advice: %s", advice)
    if capture is not None:
        try:
            run.restore(capture)
        except UserError:
            raise
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"the checkpoint in {folder} does not fit: {error}") from error
    done = run.step // run.clock.steps_per_epoch
    if done > config["epochs"]:
        raise UserError(f"epochs={config['epochs']}: the run has already done {done} epochs")
    run.observers = build_observers(config, folder, progress=True)
    if trainer.engine.reason:
        log.info("engine: %s (%s)", ENGINES.name_of(trainer.engine), trainer.engine.reason)
    setup = time.perf_counter() - started
    try:
        result = trainer.fit()
    except (NotWrittenError, UserError):
        raise
    except Exception as error:
        failure = run.failed(error)
        if failure is not None:
            failure.save(folder.path)
        if isinstance(error, OSError):  # of a component: no file of ours is in the way
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise
    result.seconds["setup"] = setup
    with storing():
        leave(result, spec, config, folder)
    return result


def doubt(config: Mapping[str, Any]) -> str | None:
    """Say what about a config is legal and hardly meant, or None."""
    if config["initializer"] == {"name": "zeros"} and config["model"]["name"] in ("mlp", "cnn"):
        return (
            "initializer=zeros keeps all units of a layer alike, so a network cannot learn to "
            "tell them apart; the default draws them at random"
        )
    return None


def leave(
    result: Result, spec: RunSpec, config: Mapping[str, Any], folder: RunFolder
) -> dict[str, Any]:
    """Write ``model.safetensors`` and ``result.json`` of a run that has ended; return the latter.

    Raises:
        OSError: they cannot be written.
    """
    metadata = {
        "config": dict(config),
        "encoding": spec.data.encoding.to_json(),
        "task": spec.data.task,
        "outputs": spec.loss.outputs(spec.data) if spec.loss else 0,
        "loss": {**(config["loss"] or {}), "name": result.loss} if spec.loss else None,
    }
    folder.write_model(spec.model, metadata)
    return result.save(folder.path)


def resume(folder: Path, overrides: Sequence[str], *, started: float | None = None) -> Result:
    """Go on with a run from its newest checkpoint, or from its start if it has none.

    Args:
        folder: the run's folder.
        overrides: ``epochs=200`` and the like; only keys that leave the run's course as it is.
        started: when set-up began, by ``time.perf_counter``.

    Raises:
        UserError: no run is there, or an override would make it another run.
    """
    config = read_config(folder)
    before = plain(config)
    for override in parse(overrides):
        key = override.key_or_group
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: a run goes on with one value, not several")
        cosine = key == "schedule.epochs" and before["schedule"].get("epochs", 0) is None
        if key.split(".")[0] not in RESUMABLE and not cosine:
            raise UserError(
                f"{key}={override.value()}: a run goes on as it began; what may change is "
                f"{in_words(RESUMABLE)}. Start a new run to change more."
            )
        apply_override(config, override)
    after = plain(config)
    check(after)
    schedule = _schedule(after)
    if schedule.uses_run_length and after["epochs"] != before["epochs"]:
        raise UserError(
            f"schedule={after['schedule']['name']} lasts as long as the run: with "
            f"epochs={after['epochs']} it would have been another one from its first step. Add "
            f"schedule.epochs={before['epochs']} to keep its course and hold its last rate, or "
            "start a new run."
        )
    result = launch(after, folder, resume=True, started=started)
    with storing():
        RunFolder(folder).write_config_text(OmegaConf.to_yaml(config))
    return result


def _schedule(config: Mapping[str, Any]) -> Schedule:
    settings = dict(config["schedule"])
    built: Schedule = SCHEDULES.build(settings.pop("name"), **settings)
    return built
