"""What is registered: names, arguments, defaults and one line each, without importing torch.

gdframe's own components are read from their config files and their source; only third-party ones,
which have neither in a known place, are imported.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdframe.config.schema import config_folder, defaults
from gdframe.errors import UserError, did_you_mean, in_words
from gdframe.registry import REGISTRIES, Registry, origin
from gdframe.registry.signatures import REQUIRED


@dataclass(frozen=True)
class Entry:
    """A registered component.

    Args:
        kind: its registry.
        name: its name.
        arguments: configuration arguments and their defaults; ``???`` where one must be given.
        description: the first line of its docstring.
        origin: where a third-party one comes from; empty for gdframe's own.
    """

    kind: str
    name: str
    arguments: dict[str, Any]
    description: str
    origin: str = ""


def entries(kind: str) -> list[Entry]:
    """Return all components of a kind, gdframe's own first.

    Raises:
        UserError: there is no such kind.
    """
    if kind not in REGISTRIES:
        raise UserError(
            f"there is no kind of component '{kind}'.{did_you_mean(kind, REGISTRIES)} "
            f"There are: {in_words(REGISTRIES)}."
        )
    registry = REGISTRIES[kind]
    return [*_built_in(registry), *_third_party(registry)]


def _built_in(registry: Registry[Any]) -> Iterator[Entry]:
    described = _descriptions(registry.package)
    for path in sorted((config_folder() / registry.kind).glob("*.yaml")):
        arguments = defaults(registry.kind, path.stem) or {}
        if arguments.pop("name", None) is None:  # settings of no component
            continue
        yield Entry(registry.kind, path.stem, arguments, described.get(path.stem, ""))


def _third_party(registry: Registry[Any]) -> Iterator[Entry]:
    for name, component in sorted(registry.third_party().items()):
        arguments = {
            argument.name: "???" if argument.default is REQUIRED else argument.default
            for argument in registry.settings(name).values()
        }
        line = (inspect.getdoc(component) or "").partition("\n")[0]
        yield Entry(registry.kind, name, arguments, line, origin(component))


def _descriptions(package: str) -> dict[str, str]:
    """Read registered names and docstrings from a package's source."""
    folder = Path(__file__).parents[1] / package.partition(".")[2]
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                for name in _registered_names(node):
                    found[name] = (ast.get_docstring(node) or "").partition("\n")[0]
    return found


def _registered_names(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(ast.Attribute(attr="register"), [ast.Constant(value=str(name))]):
                yield name


def show(kinds: list[str], width: int) -> str:
    """Return a text with a paragraph for each component of the kinds (all if there are none)."""
    lines = []
    for kind in kinds or list(REGISTRIES):
        found = entries(kind)
        lines.append(f"{kind} ({len(found)})")
        for entry in found:
            lines.append(f"  {entry.name:<22}{entry.description}")
            given = "  ".join(f"{key}={_plain(value)}" for key, value in entry.arguments.items())
            if given:
                lines.append(f"  {'':<22}{given}")
            if entry.origin:
                lines.append(f"  {'':<22}from {entry.origin}")
        lines.append("")
    return "\n".join(line if len(line) <= width else line[: width - 3] + "..." for line in lines)


def _plain(value: Any) -> str:
    """Return a value as it is typed on the command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_plain(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
