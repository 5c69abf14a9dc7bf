"""Checks the values of a config, before torch is imported and anything is written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gdframe.config.hints import instead_of_number
from gdframe.config.schema import COMPONENT_GROUPS, SEVERAL_GROUPS, Schema, defaults, names
from gdframe.config.values import files_of_data
from gdframe.diagnostics.learning_rate import AUTO
from gdframe.errors import LARGEST, UserError, bad_value, in_words, unknown, whole
from gdframe.registry import REGISTRIES
from gdframe.registry.plugins import loaded
from gdframe.registry.signatures import arguments, check_arguments, fitted, shown
from gdframe.stopping import Stopping

OPTIONAL = ("loss", "initializer")
"""Groups that may be null: the data or the model then decide."""

NEEDED = {
    "stopping": ("tolerance", "patience"),
    "checkpoint": ("every",),
    "logging": ("progress", "tensorboard", "max_points", "histograms", "runs"),
    "evaluation": ("every",),
    "sweep": ("metric", "dir", "reuse"),
}
"""Keys of groups that a run reads."""


def check(config: Mapping[str, Any]) -> None:
    """Check a composed config.

    Raises:
        UserError: a value cannot be used.
    """
    for key in config:
        if key not in Schema.__dataclass_fields__:
            raise unknown(key, "key", key, Schema.__dataclass_fields__)
    for key, field in Schema.__dataclass_fields__.items():
        value = config.get(key, "???")
        if value == "???" or (value is None and field.type != "Any"):
            raise _without_value(key)
    for group, keys in NEEDED.items():
        settings = _plain(config, group)
        for key in keys:
            if settings.get(key, "???") == "???":
                raise _without_value(f"{group}.{key}")
    _check_rate(config["lr"])
    for key in ("epochs", "batch_size"):
        whole(key, config[key])
    if config["evaluation"]["every"] is None:
        raise _without_value("evaluation.every")
    whole("evaluation.every", config["evaluation"]["every"])
    if not 0 <= config["seed"] < 2**63:
        raise bad_value(f"seed={config['seed']}", "a whole number of at least 0 and below 2^63")
    _check_whole_numbers(config)
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", config["device"]):
        raise bad_value(f"device={config['device']}", "auto, cpu, cuda or cuda:N")
    if config["dtype"] not in ("float32", "float64"):
        raise bad_value(f"dtype={config['dtype']}", "float32 or float64")
    missing = [plugin for plugin in config["plugins"] if plugin not in loaded()]
    if missing:
        raise UserError(
            f"plugins={missing} are in a config file: name them on the command line, as "
            "plugins=[FILE], so that they are loaded before the config is read"
        )
    for group in COMPONENT_GROUPS:
        if config[group] is not None:
            _check_component(group, config[group])
        elif group not in OPTIONAL:
            raise UserError(
                f"{group} has no value: set {group}=NAME; there are: {in_words(names(group))}"
            )
    for group in SEVERAL_GROUPS:
        for name, settings in components(config, group).items():
            _check_component(group, settings, f"{group}.{name}")
            if settings.get("name") != name:
                raise bad_value(f"{group}.{name}.name={settings.get('name')}", name)
    check_arguments("stopping", arguments(Stopping), stopping_settings(config))
    for group in ("logging", "checkpoint", "diagnostics"):
        _check_like(group, _plain(config, group), defaults(group, "default") or {})
    if config["logging"]["runs"] not in ("all", "best", "mean"):
        raise bad_value(f"logging.runs={config['logging']['runs']}", "all, best or mean")


def _without_value(key: str) -> UserError:
    return UserError(f"{key} has no value: set {key}=VALUE")


def _check_rate(lr: Any) -> None:
    if lr == AUTO:
        return
    if not isinstance(lr, float):
        raise bad_value(f"lr={shown(lr)}", "a number above 0, or auto", instead_of_number("lr", lr))
    if not (math.isfinite(lr) and lr > 0):
        raise bad_value(f"lr={lr:g}", "a finite number above 0, or auto")


def _check_whole_numbers(content: Any, place: str = "") -> None:
    """Check that whole numbers are not too large to compute with."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            _check_whole_numbers(value, f"{place}.{key}".lstrip("."))
    elif isinstance(content, (list, tuple)):
        for value in content:
            _check_whole_numbers(value, place)
    elif isinstance(content, int):
        is_seed = place.endswith("seed")
        if abs(content) > (2**63 - 1 if is_seed else LARGEST):
            most = "below 2^63" if is_seed else "of at most 2^53"
            raise bad_value(place, f"whole numbers {most}", "write a larger number as 1e20")


def _plain(config: Mapping[str, Any], group: str) -> dict[str, Any]:
    if not isinstance(config[group], Mapping):
        raise bad_value(f"{group}={config[group]}", "a mapping", f"see conf/{group}/")
    return dict(config[group])


def components(config: Mapping[str, Any], group: str) -> dict[str, dict[str, Any]]:
    """Return the settings of each component, by name, of a group that takes several."""
    chosen = config.get(group) or {}
    if not isinstance(chosen, Mapping):
        raise bad_value(f"{group}={chosen}", f"names, as in {group}=[NAME,NAME]")
    return {name: dict(values) for name, values in chosen.items() if isinstance(values, Mapping)}


def stopping_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the stopping rules that every run has."""
    rules = components(config, "stopping")
    return {k: v for k, v in _plain(config, "stopping").items() if k not in rules}


def _check_component(group: str, component: Any, place: str | None = None) -> None:
    if not isinstance(component, Mapping) or not isinstance(component.get("name"), str):
        raise bad_value(f"{group}={component}", "a name", f"see python -m gdframe list {group}")
    name = component["name"]
    settings = {key: value for key, value in component.items() if key != "name"}
    required = [key for key, value in settings.items() if value == "???"]
    user_components = REGISTRIES[group].user_components()
    if required:
        missing = in_words(f"{place or group}.{key}=..." for key in required)
        is_class = isinstance(user_components.get(name, object), type)
        hint = (
            ""
            if is_class
            else (
                f"; {name} is a function, and a {REGISTRIES[group].noun} is a class, or a function "
                "that returns one built"
            )
        )
        raise UserError(f"{group}={name} needs {missing}{hint}")
    if name in user_components:
        accepted = REGISTRIES[group].settings(name)
        check_arguments(place or group, accepted, settings)
        return
    expected = defaults(group, name)
    if expected is not None and expected["name"] == name:
        del expected["name"]
        files = files_of_data(component) if group == "data" else {}  # in place of shares of rows
        for key in files.keys() & expected.keys():
            expected[key] = ""
        _check_like(place or group, settings, expected)


def _check_like(group: str, settings: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Check keys against gdframe's defaults, and the types of numbers, switches and lists.

    The constructor checks a value whose default is text or null.
    """
    for key, value in settings.items():
        if key not in expected:
            raise unknown(f"{group}.{key}", "key", key, expected)
        default = expected[key]
        if default is None or isinstance(default, str):
            continue
        fitted(f"{group}.{key}", value, list[Any] if isinstance(default, list) else type(default))
