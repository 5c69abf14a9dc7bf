"""``python -m gdframe list``: the registered components with their arguments.

Built-in components are read from their config files and source, without importing torch. Only
users' components are imported.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdframe.config.schema import config_folder, defaults
from gdframe.errors import printable, unknown
from gdframe.registry import REGISTRIES, Registry, origin
from gdframe.registry.signatures import REQUIRED, shown


@dataclass(frozen=True)
class Entry:
    """A registered component.

    Args:
        kind: name of the registry.
        name: name of the component.
        arguments: arguments with defaults; ``???`` for an argument without a default.
        description: first line of the docstring.
        origin: source of a user's component; empty for built-in ones.
    """

    kind: str
    name: str
    arguments: dict[str, Any]
    description: str
    origin: str = ""


def entries(kind: str) -> list[Entry]:
    """Return all components of a kind, built-in ones first.

    Raises:
        UserError: the kind does not exist.
    """
    if kind not in REGISTRIES:
        raise unknown(f"'{kind}'", "kind of component", kind, REGISTRIES)
    registry = REGISTRIES[kind]
    return [*_built_in(registry), *_user_components(registry)]


def _built_in(registry: Registry[Any]) -> Iterator[Entry]:
    descriptions = _descriptions(registry.package)
    for path in sorted((config_folder() / registry.kind).glob("*.yaml")):
        arguments = defaults(registry.kind, path.stem) or {}
        if arguments.pop("name", None) is None:  # settings of no component
            continue
        yield Entry(registry.kind, path.stem, arguments, descriptions.get(path.stem, ""))


def _user_components(registry: Registry[Any]) -> Iterator[Entry]:
    for name, component in sorted(registry.user_components().items()):
        arguments = {
            argument.name: "???" if argument.default is REQUIRED else argument.default
            for argument in registry.settings(name).values()
        }
        line = (inspect.getdoc(component) or "").partition("\n")[0]
        yield Entry(registry.kind, name, arguments, line, origin(component))


def _descriptions(package: str) -> dict[str, str]:
    """Return the docstrings' first lines by registered name, read from a package's source."""
    folder = Path(__file__).parents[1] / package.partition(".")[2]
    descriptions = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                for name in _registered_names(node):
                    descriptions[name] = (ast.get_docstring(node) or "").partition("\n")[0]
    return descriptions


def _registered_names(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(ast.Attribute(attr="register"), [ast.Constant(value=str(name))]):
                yield name


def table(kinds: list[str], width: int) -> str:
    """Return a text with a paragraph for each component of the kinds; no kinds means all."""
    lines = []
    for kind in kinds or list(REGISTRIES):
        components = entries(kind)
        lines.append(f"{kind} ({len(components)})")
        for entry in components:
            lines.append(f"  {entry.name:<22}{entry.description}")
            words = "  ".join(f"{key}={shown(value)}" for key, value in entry.arguments.items())
            if words:
                lines.append(f"  {'':<22}{words}")
            if entry.origin:
                lines.append(f"  {'':<22}from {entry.origin}")
        lines.append("")
    texts = map(printable, lines)
    return "\n".join(text if len(text) <= width else text[: width - 3] + "..." for text in texts)
