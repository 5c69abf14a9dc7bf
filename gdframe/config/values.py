"""Reads the config of a run folder, and turns configs into plain values and YAML."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from gdframe.config.stored import check_growth, parse_config
from gdframe.diagnostics.learning_rate import AUTO
from gdframe.errors import UserError, escaped, printable, user_path
from gdframe.runs.files import require_folder
from gdframe.runs.folder import DamagedError
from gdframe.runs.run_folder import CONFIG, RunFolder
from gdframe.runs.sweep_folder import SweepFolder

log = logging.getLogger("gdframe")


def rate_text(lr: float | str) -> str:
    """Return a learning rate of a config as text; before the search it is ``auto``."""
    return lr if isinstance(lr, str) else f"{lr:g}"


def read_config(folder: Path) -> DictConfig:
    """Return the config that a run was started with.

    Raises:
        UserError: the folder is not a run folder, or its config is damaged.
    """
    require_folder(folder, "a run folder, such as outputs/DATE/TIME")
    run = RunFolder(folder)
    path = folder / CONFIG
    if SweepFolder(folder).is_unlisted():
        raise UserError(
            f"{folder}: holds a sweep that was ended before it listed its runs; start it again by "
            "the same command"
        )
    if not run.is_run():
        raise UserError(f"{folder}: is not a run folder; it has no {CONFIG}")
    text = run.read_config_text()
    try:
        config = parse_config(text)
        if config.lr == AUTO and run.has_training_output():
            raise ValueError("lr is auto, and the run has begun with a number")
        return config
    except ValueError as error:
        raise DamagedError(
            f"{path}: is damaged: {error}; the other files of the run are whole, and predict needs "
            "no config"
        ) from error


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed config as plain values; a missing required value stays ``???``.

    Raises:
        UserError: its references make it too large.
    """
    values = OmegaConf.to_container(config, resolve=False)
    if "${" in str(values):
        check_growth(config)
        values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return with_typed_rate({str(key): value for key, value in values.items()})


def with_typed_rate(values: dict[str, Any]) -> dict[str, Any]:
    """Return plain values with ``lr`` as a float if it is a number; other values are not checked.

    Example:
        >>> with_typed_rate({"lr": 1}), with_typed_rate({"lr": "auto"})
        ({'lr': 1.0}, {'lr': 'auto'})
    """
    lr = values.get("lr")
    if isinstance(lr, (int, str)) and not isinstance(lr, bool):
        with suppress(ValueError):
            values["lr"] = float(lr)
    return values


def name_data(*configs: Mapping[str, Any]) -> None:
    """Log which files and queries the configs of a folder read, each once."""
    sources = [
        source
        for config in configs
        for source in (*files_of_data(config["data"]).values(), config["data"].get("query"))
    ]
    for source in dict.fromkeys(filter(None, sources)):
        text = printable(" ".join(str(source).split()))
        log.info("data          %s (named by the folder)", text)


def anchor(config: DictConfig) -> None:
    """Make paths of data files absolute, so that a run can be resumed from any folder."""
    for key, path in absolute_paths(config.data).items():
        config.data[key] = path


def files_of_data(data: Any) -> dict[str, str]:
    """Return the files that ``data`` of a config names, by key."""
    if not isinstance(data, Mapping):
        return {}
    keys = ("path", "validation", "test") if data.get("name") == "table" else ("path",)
    named = {key: data.get(key) for key in keys}
    return {key: v for key, v in named.items() if isinstance(v, str) and v != "???"}


def absolute_paths(data: Any) -> dict[str, str]:
    """Return the absolute paths of the files that ``data`` of a config names, by key.

    They are texts of a config: special characters are escaped.
    """
    return {
        key: escaped(str(user_path(path, links=False).absolute()))  # a link keeps its name
        for key, path in files_of_data(data).items()
    }


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes YAML for OmegaConf: text that looks like a number is quoted."""


def _text(dumper: Any, value: str) -> Any:
    try:
        float(value)
    except ValueError:
        style = None
    else:
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(content: Any) -> str:
    """Return plain values as YAML."""
    text: str = yaml.dump(
        content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )
    return text


_dumped: dict[str, tuple[str, str]] = {}


def dump_settings(config: Mapping[str, Any]) -> str:
    r"""Return plain values of a config as YAML; the text of each key is cached for the next.

    Example:
        >>> dump_settings({"lr": 0.1, "model": {"name": "linear"}})
        'lr: 0.1\nmodel:\n  name: linear\n'
    """
    parts = []
    for key, value in config.items():
        content = repr(value)
        if _dumped.get(key, ("",))[0] != content:
            _dumped[key] = content, dump({key: value})
        parts.append(_dumped[key][1])
    return "".join(parts)
