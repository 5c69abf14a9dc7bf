"""The observers that a config names, and what they show of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gdframe.config.validation import components
from gdframe.config.values import dump_settings
from gdframe.observers import Observer
from gdframe.registry import OBSERVERS
from gdframe.runs.run_folder import RunFolder

KEYS = ("variant", "lr", "epochs", "batch_size", "seed", "dtype")
GROUPS = ("data", "model", "loss", "penalty", "initializer", "optimizer", "schedule")
"""What is shown of a config among the hyperparameters of a run."""


def build_observers(
    config: Mapping[str, Any],
    folder: RunFolder,
    *,
    overrides: Mapping[str, str] | None = None,
    progress: bool = False,
) -> list[Observer]:
    """Build the observers of a run: those of ``logging`` and ``checkpoint``, and further ones.

    Args:
        config: plain values, checked.
        folder: the run's.
        overrides: what else distinguishes the run from others of its sweep, by key.
        progress: whether to show a progress bar, if ``logging.progress`` is on.

    Raises:
        UserError: an observer cannot be built.
    """
    logging, saving = config["logging"], config["checkpoint"]
    chosen: dict[str, dict[str, Any]] = {}
    if logging["tensorboard"]:
        chosen["tensorboard"] = {name: logging[name] for name in ("max_points", "histograms")}
    if logging["progress"] and progress:
        chosen["progress"] = {}
    if saving["every"] is not None:
        chosen["checkpoint"] = dict(saving)
    chosen |= components(config, "observer")
    if "checkpoint" in chosen:  # which is the last: it holds nothing that others have yet to write
        chosen["checkpoint"] = chosen.pop("checkpoint")
    supplied = {
        "folder": folder.path,
        "hyperparameters": hyperparameters(config, overrides or {}),
        "text": {"config": f"```yaml\n{dump_settings(config)}```"},
    }
    return [
        OBSERVERS.build(name, **{k: v for k, v in own.items() if k != "name"}, **supplied)
        for name, own in chosen.items()
    ]


def hyperparameters(
    config: Mapping[str, Any], overrides: Mapping[str, str]
) -> dict[str, bool | int | float | str]:
    """Return what dashboards show of a config, flat."""
    chosen = {key: config[key] for key in KEYS}
    for group in GROUPS:
        for key, value in (config[group] or {}).items():
            if isinstance(value, (bool, int, float, str)):
                chosen[group if key == "name" else f"{group}.{key}"] = value
    more = {k: v for k, v in overrides.items() if k not in (*chosen, "plugins")}
    return chosen | {key: _number(text) for key, text in more.items()}


def _number(text: str) -> float | str:
    """Return a number where text is one: dashboards sort and draw numbers by size."""
    try:
        return float(text)
    except ValueError:
        return text
