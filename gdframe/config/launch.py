"""One run from config to result, new or resumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gdframe.config.build import Parts, build
from gdframe.config.check import check
from gdframe.config.messages import apply_override, parse
from gdframe.config.values import CONFIG_FILE, dump_settings, plain, read_config
from gdframe.diagnostics.diagnostics import Diagnostics
from gdframe.diagnostics.preflight import advice_on_curvature, advice_on_data, advice_on_rate
from gdframe.errors import UserError, in_words
from gdframe.files import NotWrittenError, exclusive, storing
from gdframe.observers import Checkpoint, Observer, ProgressBar, TensorBoard, preparing
from gdframe.registry import ENGINES, SCHEDULES
from gdframe.result import Result, save_model
from gdframe.schedules import Schedule
from gdframe.storage import load_checkpoint
from gdframe.trainer import Trainer

log = logging.getLogger("gdframe")

RESUMABLE = ("epochs", "device", "debug", "stopping", "logging", "checkpoint")
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
    with exclusive(folder):
        return _launch(config, folder, resume=resume, started=started)


def _launch(config: Mapping[str, Any], folder: Path, *, resume: bool, started: float) -> Result:
    parts = build(config)
    settings = config["logging"]
    checkpoints = folder / "checkpoint"
    engine, capture = config["engine"]["name"], None
    if resume:
        capture, problems = load_checkpoint(checkpoints)
        for problem in problems:
            log.warning("warning: %s; the one before is used", problem)
        if capture is not None and engine == "auto":
            engine = capture.facts["engine"]  # another one would not go on bit for bit
    with preparing() if settings["progress"] else nullcontext():
        looking = diagnose(config)
        trainer = Trainer(**ingredients(parts, config), engine=engine, diagnosis=looking)
    if warning := doubt(config):
        log.warning("warning: %s", warning)
    if config["preflight"] and not resume:
        meant = advice_on_curvature(trainer.objective) if looking.curvature else []
        for advice in (*advice_on_data(parts.data), *advice_on_rate(looking.stability), *meant):
            log.warning("advice: %s", advice)
    if capture is not None:
        try:
            trainer.restore(capture)
        except UserError:
            raise
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"the checkpoint in {checkpoints} does not fit: {error}") from error
    done = trainer.step // trainer.clock.steps_per_epoch
    if done > config["epochs"]:
        raise UserError(f"epochs={config['epochs']}: the run has already done {done} epochs")
    trainer.observers = observers(config, folder)
    if settings["progress"]:
        trainer.observers.insert(-1, ProgressBar())
    if trainer.engine.reason:
        log.info("engine: %s (%s)", ENGINES.name_of(trainer.engine), trainer.engine.reason)
    setup = time.perf_counter() - started
    try:
        result = trainer.fit()
    except (NotWrittenError, UserError):
        raise
    except Exception as error:
        failure = trainer.failed(error)
        if failure is not None:
            failure.save(folder)
        if isinstance(error, OSError):  # of a component: no file of ours is in the way
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise
    result.seconds["setup"] = setup
    with storing():
        leave(result, parts, config, folder)
    return result


def ingredients(parts: Parts, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a Member, and of a Trainer but for its engine."""
    return {
        "model": parts.model,
        "loss": parts.loss,
        "optimizer": parts.optimizer,
        "loader": parts.loader,
        "data": parts.data,
        "penalty": parts.penalty,
        "schedule": parts.schedule,
        "stopping": parts.stopping,
        "epochs": config["epochs"],
        "seed": config["seed"],
        "max_points": config["logging"]["max_points"],
    }


def diagnose(config: Mapping[str, Any]) -> Diagnostics:
    """Return what looks into a run.

    Args:
        config: plain values, checked.

    Raises:
        UserError: a value out of its range.
    """
    stopping = config["stopping"]
    return Diagnostics(
        **config["diagnostics"],
        # less than the tolerance in all of the patience's epochs ends a run
        tolerance=(stopping["tolerance"] or 1e-6) / stopping["patience"],
    )


def doubt(config: Mapping[str, Any]) -> str | None:
    """Say what about a config is legal and hardly meant, or None."""
    if config["initializer"] == {"name": "zeros"} and config["model"]["name"] in ("mlp", "cnn"):
        return (
            "initializer=zeros keeps all units of a layer alike, so a network cannot learn to "
            "tell them apart; the default draws them at random"
        )
    return None


def leave(result: Result, parts: Parts, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``model.safetensors`` and ``result.json`` of a run that has ended; return the latter.

    Raises:
        OSError: they cannot be written.
    """
    metadata = {
        "config": dict(config),
        "encoding": parts.data.encoding.to_json(),
        "task": parts.data.task,
        "outputs": parts.loss.outputs(parts.data) if parts.loss else 0,
        "loss": {**(config["loss"] or {}), "name": result.loss} if parts.loss else None,
    }
    save_model(folder, parts.model, metadata)
    return result.save(folder)


def observers(
    config: Mapping[str, Any], folder: Path, varied: Mapping[str, str] | None = None
) -> list[Observer]:
    """Return who keeps what a run leaves on the way: events and checkpoints, as the config says.

    Args:
        config: plain values, checked.
        folder: the run's.
        varied: what else distinguishes it from other runs, for HParams.
    """
    settings, saving = config["logging"], config["checkpoint"]
    found: list[Observer] = []
    if settings["tensorboard"]:
        keys = ("variant", "lr", "epochs", "batch_size", "seed", "dtype")
        chosen = {key: config[key] for key in keys}
        for group in ("data", "model", "loss", "penalty", "initializer", "optimizer", "schedule"):
            for key, value in (config[group] or {}).items():
                name = group if key == "name" else f"{group}.{key}"
                if isinstance(value, (bool, int, float, str)):
                    chosen[name] = value
        more = {k: v for k, v in (varied or {}).items() if k not in (*chosen, "plugins")}
        chosen |= {key: _number(text) for key, text in more.items()}
        page = "```yaml\n" + dump_settings(config) + "```"
        found.append(
            TensorBoard(
                folder,
                max_points=settings["max_points"],
                histograms=settings["histograms"],
                hyperparameters=chosen,
                text={"config": page},
            )
        )
    if saving["every"] is not None:
        folder = folder / "checkpoint"
        found.append(Checkpoint(folder, every=saving["every"], keep=saving["keep"]))
    return found


def _number(text: str) -> float | str:
    """Return a number where text is one: HParams sorts and draws them by size."""
    try:
        return float(text)
    except ValueError:
        return text


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
        OmegaConf.save(config, folder / CONFIG_FILE)
    return result


def _schedule(config: Mapping[str, Any]) -> Schedule:
    settings = dict(config["schedule"])
    built: Schedule = SCHEDULES.build(settings.pop("name"), **settings)
    return built
