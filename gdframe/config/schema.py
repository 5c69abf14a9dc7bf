"""The folder of config files, the types of keys, and nodes for users' components."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from gdframe.errors import UserError
from gdframe.registry import REGISTRIES
from gdframe.registry.signatures import REQUIRED, Argument

COMPONENT_GROUPS = tuple(kind for kind, registry in REGISTRIES.items() if not registry.several)
"""Groups of which a run takes one component."""

SEVERAL_GROUPS = tuple(kind for kind, registry in REGISTRIES.items() if registry.several)
"""Groups of which a run takes several, each under its name: ``observer.csv.every``."""

GROUPS = (
    *COMPONENT_GROUPS, *SEVERAL_GROUPS, "logging", "checkpoint", "diagnostics", "variant",
    "experiment",
)  # fmt: skip
"""All config groups."""


@dataclass
class Sweep:
    """Settings of a sweep as a whole.

    Args:
        metric: the column of ``result.json`` that runs are compared by and that Hydra's sweepers
            receive, such as ``objective`` or ``metrics.validation.r2``; by default the validation
            loss if there are validation data, else the objective.
        dir: the sweep folder; by default a new one.
        reuse: whether to add to the sweep in ``dir``, and to train only its new runs.
        pack: numbers of the runs in ``dir`` that a worker trains together; set by gdframe.
    """

    metric: str | None = None
    dir: str | None = None
    reuse: bool = False
    pack: list[int] = field(default_factory=list)


@dataclass
class Evaluation:
    """Settings of the evaluations of a run.

    Args:
        every: number of epochs between two.
    """

    every: int = 1


@dataclass
class Schema:
    """Types of the top-level keys; their values are in ``conf/config.yaml``."""

    variant: str = MISSING
    lr: Any = MISSING  # a number, or auto
    epochs: int = MISSING
    batch_size: int = MISSING
    seed: int = MISSING
    device: str = MISSING
    dtype: str = MISSING
    plugins: list[str] = field(default_factory=list)
    preflight: bool = True
    debug: bool = False
    data: Any = None
    loader: Any = None
    model: Any = None
    loss: Any = None
    metric: Any = None
    penalty: Any = None
    initializer: Any = None
    optimizer: Any = None
    schedule: Any = None
    engine: Any = None
    stopping: Any = None
    logging: Any = None
    checkpoint: Any = None
    diagnostics: Any = None
    observer: Any = None
    evaluation: Evaluation = field(default_factory=lambda: Evaluation())
    sweep: Sweep = field(default_factory=lambda: Sweep())


@cache
def config_folder() -> Path:
    """Return the folder of config files: inside an installed gdframe, beside it in a checkout.

    Raises:
        UserError: neither folder exists.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError(f"gdframe's config files are not beside {package}: install it again")


def defaults(group: str, name: str) -> dict[str, Any] | None:
    """Return the content of gdframe's ``conf/GROUP/NAME.yaml``, or None if it does not exist."""
    return copy.deepcopy(_read(config_folder() / group / f"{name}.yaml"))


def standard(key: str) -> Any:
    """Return the value or the choice of a top-level key in ``conf/config.yaml``."""
    content = _read(config_folder() / "config.yaml") or {}
    chosen = (part for part in content["defaults"] if isinstance(part, dict) and key in part)
    return content[key] if key in content else next(chosen)[key]


@cache
def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def names(group: str) -> list[str]:
    """Return the choices of a group: YAML files and nodes of users' components."""
    files = [path.stem for path in (config_folder() / group).glob("*.yaml")]
    stored = ConfigStore.instance().repo.get(group, {})
    return sorted({*files, *(name.removesuffix(".yaml") for name in stored)})


def register_nodes() -> None:
    """Register with Hydra the types of keys and of the arguments of users' components.

    Raises:
        UserError: a config cannot set the arguments of a component.
    """
    store = ConfigStore.instance()
    store.store(name="schema", node=Schema)
    for group, registry in REGISTRIES.items():
        for name in registry.user_components():
            node = _node(name, registry.settings(name))
            package = f"{group}.{name}" if registry.several else None
            store.store(group=group, name=name, node=node, package=package, provider="gdframe")


def _node(name: str, settings: typing.Mapping[str, Argument]) -> Any:
    """Return a structured config with a typed field for each argument."""
    fields: list[tuple[str, Any, Any]] = [("name", str, name)]
    for argument in settings.values():
        value = MISSING if argument.default is REQUIRED else argument.default
        if isinstance(value, tuple):
            value = list(value)
        if isinstance(value, (list, dict)):
            value = field(default_factory=partial(copy.deepcopy, value))
        fields.append((argument.name, _config_type(argument.annotation), value))
    return make_dataclass(f"{name}_config", fields)


def _config_type(annotation: Any) -> Any:
    """Return the closest type that a config can check."""
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (int, float, bool, str):
        return annotation
    if origin in (typing.Union, types.UnionType):
        plain = [_config_type(option) for option in options if option is not type(None)]
        if len(plain) == 1 and len(options) == 2:
            return typing.Optional[plain[0]]  # noqa: UP045 (OmegaConf reads this form)
        return Any
    if origin in (list, tuple, Sequence) and options:
        inner = _config_type(options[0])
        return list[inner]  # type: ignore[valid-type]
    return Any
