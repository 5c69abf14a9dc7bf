"""Builds the observers that a config names, and the hyperparameters that they show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdframe.config.validation import components
from gdframe.config.values import dump_settings
from gdframe.observers import Observer
from gdframe.registry import OBSERVERS, is_built_in
from gdframe.runs.history_table import require_history
from gdframe.runs.run_folder import RunFolder

OBSERVER_KEYS = ("logging", "checkpoint", "observer")
"""Groups of a config that hold settings of observers."""

CSV = "csv"
"""Name of the observer that writes ``history.csv``."""

KEYS = ("variant", "lr", "epochs", "batch_size", "seed", "dtype")
GROUPS = ("data", "model", "loss", "penalty", "initializer", "optimizer", "schedule")
"""Keys and groups that dashboards show as the hyperparameters of a run."""


def build_observers(
    config: Mapping[str, Any],
    folder: RunFolder,
    *,
    overrides: Mapping[str, str] | None = None,
    progress: bool = False,
    only: str | None = None,
) -> list[Observer]:
    """Build the observers of a run, by ``logging``, ``checkpoint`` and ``observer``.

    Args:
        config: plain values, checked.
        folder: folder of the run.
        overrides: other keys that the sweep varies, with their values.
        progress: whether to show a progress bar, if ``logging.progress`` is on.
        only: name of the only observer to build; by default all are built.

    Raises:
        UserError: an observer cannot be built, or would replace a file of somebody else.
    """
    supplied = {
        "folder": folder.path,
        "hyperparameters": hyperparameters(config, overrides or {}),
        "text": {"config": f"```yaml\n{dump_settings(config)}```"},
    }
    chosen = _chosen(config, progress=progress)
    if CSV in chosen and only in (None, CSV):
        require_history(folder, config["epochs"])
    return [
        OBSERVERS.configured(settings, key=key, **supplied)
        for name, (settings, key) in chosen.items()
        if only in (None, name)
    ]


def check_observer_settings(config: Mapping[str, Any]) -> None:
    """Check the settings of gdframe's observers, before anything is written.

    Raises:
        UserError: an observer cannot be built.
    """
    supplied = {"folder": Path(), "hyperparameters": {}, "text": {}}
    for name, (settings, key) in _chosen(config, progress=False).items():
        if is_built_in(OBSERVERS.get(name)):  # that of a user may write when it is built
            OBSERVERS.configured(settings, key=key, **supplied)


def _chosen(
    config: Mapping[str, Any], *, progress: bool
) -> dict[str, tuple[dict[str, Any], str | None]]:
    """Return the settings of each observer by its name, and the key that they are under."""
    logging, checkpoint = config["logging"], config["checkpoint"]
    chosen: dict[str, dict[str, Any]] = {}
    if logging["tensorboard"]:
        chosen["tensorboard"] = {name: logging[name] for name in ("max_points", "histograms")}
    if logging["progress"] and progress:
        chosen["progress"] = {}
    if checkpoint["every"] is not None:
        chosen["checkpoint"] = dict(checkpoint)
    chosen |= (named := components(config, "observer"))
    if "checkpoint" in chosen:  # the last: it is saved after the others have written
        chosen["checkpoint"] = chosen.pop("checkpoint")
    keys: dict[str, str | None] = {"tensorboard": "logging", "checkpoint": "checkpoint"}
    keys |= dict.fromkeys(named)
    return {name: ({**settings, "name": name}, keys.get(name)) for name, settings in chosen.items()}


def hyperparameters(
    config: Mapping[str, Any], overrides: Mapping[str, str]
) -> dict[str, bool | int | float | str]:
    """Return the hyperparameters that dashboards show, by flat key."""
    chosen = {key: config[key] for key in KEYS}
    for group in GROUPS:
        for key, value in (config[group] or {}).items():
            if isinstance(value, (bool, int, float, str)):
                chosen[group if key == "name" else f"{group}.{key}"] = value
    more = {k: v for k, v in overrides.items() if k not in (*chosen, "plugins")}
    return chosen | {key: _number(text) for key, text in more.items()}


def _number(text: str) -> float | str:
    """Return text as a number if possible: dashboards sort and draw numbers by size."""
    try:
        return float(text)
    except ValueError:
        return text
