"""Configs of many runs: composed once for each choice of groups, then changed value by value.

Composing a config by Hydra takes some 70 ms; a value in a composed one is changed in microseconds.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from gdframe.config.messages import parse
from gdframe.config.schema import GROUPS, Schema
from gdframe.config.values import dump, dump_settings, plain

Values = dict[str, Any]

_NUMBER, _OVERRIDES, _FOLDER = "GDFRAME_NUMBER", "GDFRAME_OVERRIDES", "GDFRAME_FOLDER"
"""Stand in a template for what differs from run to run."""


class Base:
    """A config composed by Hydra, in which values are set for one run after another.

    Args:
        config: gdframe's keys, and under ``hydra`` Hydra's own where it was composed by Hydra.
    """

    def __init__(self, config: DictConfig) -> None:
        self.hydra = config.get("hydra")
        self.whole = config
        self.config = copy.deepcopy(config)
        with open_dict(self.config), flag_override(self.config, "readonly", False):
            self.config.pop("hydra", None)
        OmegaConf.set_struct(self.config, True)
        self._plain = plain(self.config)
        self._refers = "${" in str(_unresolved(self.config))
        self._scratch = copy.deepcopy(self.config)
        self._kept: dict[tuple[str, str], Any] = {}
        self._template: str | None = None
        subdir = _unresolved(self.hydra.sweep)["subdir"] if self.hydra is not None else None
        self._numbered = subdir == "${hydra.job.num}"  # by default, and then nothing is to resolve

    def plain(self, values: Values) -> Values:
        """Return the config with ``values`` by dotted key, as plain values.

        Raises:
            OmegaConfBaseException: there is no such key, or a value is of the wrong type.
        """
        if not self._apart(values):
            return plain(self._with(values))
        content: Values = _copied(self._plain)
        for key, value in values.items():
            *parents, last = key.split(".")
            inner = content
            for parent in parents:
                inner = inner[parent]
            inner[last] = _copied(self._as_kept(key, value))
        return content

    def text(self, values: Values) -> str:
        """Return the config as YAML, interpolations as they stand."""
        if not self._apart(values):
            return dump(_unresolved(self._with(values)))
        return dump_settings(self.plain(values))

    def _with(self, values: Values) -> DictConfig:
        config = copy.deepcopy(self.config)
        for key, value in values.items():
            OmegaConf.update(config, key, value)
        return config

    def _apart(self, values: Values) -> bool:
        """Say whether each value changes its own key and nothing else."""
        refers = self._refers or any("${" in str(value) for value in values.values())
        keys = [f"{key}." for key in values]
        nested = any(a.startswith(b) for a in keys for b in keys if a is not b)
        return not refers and not nested and not any("[" in key for key in values)

    def _as_kept(self, key: str, value: Any) -> Any:
        """Return a value as the config keeps it, of the key's type."""
        at = key, repr(value)
        if at not in self._kept:
            before = OmegaConf.select(self._scratch, key, throw_on_missing=False)
            OmegaConf.update(self._scratch, key, value)
            found = OmegaConf.select(self._scratch, key)
            self._kept[at] = _unresolved(found) if OmegaConf.is_config(found) else found
            if before is None or OmegaConf.is_config(before):  # nothing that can be put back
                self._scratch = copy.deepcopy(self.config)
            else:
                OmegaConf.update(self._scratch, key, before)
        return self._kept[at]

    @classmethod
    def from_text(cls, config: str, hydra: str) -> Base:
        """Return the base that ``text`` and ``hydra_text`` were made of."""
        merged = OmegaConf.merge(OmegaConf.structured(Schema), OmegaConf.create(config))
        assert isinstance(merged, DictConfig)
        base = cls(merged)
        if hydra:
            base.hydra = OmegaConf.select(OmegaConf.create(hydra), "hydra")
        return base

    def hydra_text(
        self, number: int = 0, overrides: Sequence[str] = (), folder: str = "???"
    ) -> str:
        """Return what ``.hydra/hydra.yaml`` of a run holds; nothing where Hydra took no part."""
        if self.hydra is None:
            return ""
        if self._template is None:
            config = _unresolved(self.hydra)
            for key in ("help", "hydra_help"):
                config.pop(key, None)
            config["job"] |= {"num": _NUMBER, "id": _NUMBER}
            config["overrides"]["task"] = _OVERRIDES
            config["runtime"]["output_dir"] = _FOLDER
            self._template = dump({"hydra": config})
        lines = "".join(f"\n    - {_scalar(text)}" for text in overrides) or " []"
        filled = self._template.replace(f" {_OVERRIDES}", lines)
        return filled.replace(_NUMBER, str(number)).replace(_FOLDER, _scalar(folder))

    def subfolder(self, number: int, overrides: Sequence[str], values: Values) -> str:
        """Return a run's folder below its sweep's, as ``hydra.sweep.subdir`` says."""
        if self._numbered:
            return str(number)
        config = copy.deepcopy(self.whole)
        for key, value in values.items():
            OmegaConf.update(config, key, value)
        hydra = config.hydra
        with open_dict(config):
            hydra.job.num, hydra.job.id = number, str(number)
            hydra.job.override_dirname = _named_by(overrides, hydra.job.config.override_dirname)
            hydra.overrides.task = list(overrides)
        return str(hydra.sweep.subdir)


@dataclass(frozen=True)
class Composition:
    """A run's config as a base and the values that are changed in it."""

    base: Base
    values: Values

    def plain(self) -> dict[str, Any]:
        """Return the config as plain values."""
        return self.base.plain(self.values)

    def text(self) -> str:
        """Return what ``.hydra/config.yaml`` holds."""
        return self.base.text(self.values)

    def subfolder(self, number: int, overrides: Sequence[str]) -> str:
        """Return its folder below the sweep's, as ``hydra.sweep.subdir`` says."""
        return self.base.subfolder(number, overrides, self.values)


def _named_by(overrides: Sequence[str], how: Any) -> str:
    """Return what Hydra calls a run by its overrides: ``hydra.job.override_dirname``."""
    shown = [text for text in overrides if text.partition("=")[0] not in how.exclude_keys]
    return str(how.item_sep).join(sorted(shown)).replace("=", str(how.kv_sep))


class Composer:
    """Composes the configs of many runs.

    Args:
        load: composes one config from overrides, as Hydra does.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig]) -> None:
        self._load = load
        self._bases: dict[tuple[str, ...], Base] = {}

    def compose(self, overrides: Sequence[str]) -> Composition:
        """Return the config of a run.

        Raises:
            HydraException: there is no such group, choice or key.
            OmegaConfBaseException: likewise, or a value is of the wrong type.
        """
        choices, values = [], {}
        for text in overrides:
            override = _parsed(text)
            if _is_value(override):
                values[override.key_or_group] = override.value()
            else:
                choices.append(text)
        key = tuple(choices)
        if key not in self._bases:
            self._bases[key] = Base(self._load(choices))
        return Composition(self._bases[key], values)


def _unresolved(config: Any) -> Any:
    """Return a config as plain values, interpolations as they stand."""
    return OmegaConf.to_container(config, resolve=False, enum_to_str=True)


def _copied(value: Any) -> Any:
    """Return a copy of plain values; ``copy.deepcopy`` takes ten times as long."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


@lru_cache(maxsize=4096)
def _scalar(text: str) -> str:
    """Return text as YAML on one line."""
    return dump([text])[2:].rstrip("\n") if "\n" not in text else json.dumps(text)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Override:
    return parse([text])[0]


def _is_value(override: Override) -> bool:
    """Say whether an override sets a value in place, and chooses no group and no file."""
    key = override.key_or_group
    in_place = override.is_add() is False and override.is_delete() is False
    return (
        in_place
        and override.package is None
        and key not in GROUPS
        and not key.startswith("hydra")
        and not isinstance(override.value(), dict)
    )
