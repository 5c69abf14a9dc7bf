"""Dependencies point one way, and only the outer rooms know Hydra."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gdframe

ROOT = Path(gdframe.__file__).parent

FLOORS = [
    {"errors", "sameness"},
    {"hidden_state"},
    {"arguments", "files", "interrupt", "drawing"},
    {"registry"},
    {"randomness", "plugins"},
    {"data"},
    {"loaders", "models", "losses", "penalties", "initializers", "optimizers", "schedules"},
    {"objective"},
    {"engines"},
    {"measurement", "recovery", "share", "stopping", "history", "events", "records", "storage"},
    {"diagnosis"},
    {"result"},
    {"observers", "console"},
    {"parts", "watching"},
    {"reading"},
    {"member"},
    {"batch"},
    {"trainer", "diagnostics"},
    {"config", "prediction", "listing"},
    {"sweeps"},
    {"_hydra", "api", "task"},
    {"verbs"},
    {"application"},
    {"cli"},
    {"__main__"},
]
"""From the ground up: a room may use rooms on its own floor or below."""

HYDRA = {"_hydra", "api", "application", "cli", "config", "sweeps", "task"}


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """Modules a file imports, except those for type checkers only."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


FILES = [
    path for path in sorted(ROOT.rglob("*.py")) if path.name != "__init__.py" or path.parent != ROOT
]


def test_every_room_has_a_floor():
    known = set().union(*FLOORS)
    assert {room(path) for path in FILES} == known


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    for module in imports(path):
        if module.startswith("gdframe."):
            target = module.split(".")[1]
            assert floor[target] <= floor[room(path)], f"{path} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_outer_rooms_know_hydra(path):
    if room(path) not in HYDRA:
        assert not {m for m in imports(path) if m.split(".")[0] in ("hydra", "omegaconf")}


def test_there_are_no_circles_between_files():
    graph = {}
    for path in FILES:
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = {m for m in imports(path) if m.startswith("gdframe.")}
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name in finished or name not in graph:
            return
        for target in graph[name]:
            visit(target, (*trail, name))
        finished.add(name)

    for name in graph:
        visit(name, ())


def test_importing_gdframe_imports_nothing_heavy():
    code = (
        "import gdframe, sys; print([m for m in ('torch', 'numpy', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"
