"""Imports point one way, and only the outer folders import Hydra."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import median

import gdframe

ROOT = Path(gdframe.__file__).parent

LAYERS = [
    {"errors", "memory", "interrupt", "drawing", "randomness"},
    {"registry"},
    {"sameness"},
    {"hidden_state"},
    {"data"},
    {"loaders", "models", "losses", "penalties", "initializers", "optimizers", "schedules"},
    {"metrics"},
    {"objective", "stopping"},
    {"runs"},
    {"observers"},
    {"engines"},
    {"diagnostics"},
    {"training"},
    {"config"},
    {"sweeps"},
    {"_hydra", "api"},
    {"cli"},
    {"__main__"},
]
"""From the ground up: a folder may import from its own layer or from one below."""

HYDRA = {"_hydra", "api", "cli", "config", "sweeps"}
"""Folders that may import Hydra or OmegaConf."""

MOST_LINES, MOST_TEST_LINES = 350, 400
"""Of a file of the package, and of one of the tests."""

MEDIAN_LINES = 90
"""Of the files of the package, at most."""

MOST_PARAMETERS = 8
"""Of a function, but of constructors of specs: data, settings and runs."""

LOOPS = {"single", "many", "block"}
"""Compiled loops and their caller: named tuples would slow each call, and compilation, by half."""

SPECS = {"Trainer", "Table", "Regression", "Classification", "Dataset"}
"""Classes whose constructors take all that a run or a dataset is made of."""

FILE_NAMES = {
    ".hydra", "config.yaml", "overrides.yaml", "hydra.yaml", "multirun.yaml", "result.json",
    "model.safetensors", "coefficients.csv", "gdframe.log", "history.csv", "report.html",
    "sweep.json", "summary.csv",
    "summary.json", "landscape.png", "lr_range.png", "learning_rates.png", "heat_map.png",
}  # fmt: skip
"""Files of runs and sweeps, which ``gdframe/runs/`` alone may name."""

ROOT_MODULES = 10
"""Most modules at the package's root."""


def folder_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Modules a file imports, except those for type checkers only."""
    tree = tree_of(path)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    modules: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return modules


FILES = [
    path for path in sorted(ROOT.rglob("*.py")) if path.name != "__init__.py" or path.parent != ROOT
]


def test_every_folder_has_a_layer():
    known = set().union(*LAYERS)
    assert {folder_of(path) for path in FILES} == known


def test_the_root_has_few_modules():
    assert len(list(ROOT.glob("*.py"))) <= ROOT_MODULES


def test_no_file_is_long():
    tests = Path(__file__).parent.rglob("*.py")
    for path in [*ROOT.rglob("*.py"), *tests]:
        most = MOST_LINES if path.is_relative_to(ROOT) else MOST_TEST_LINES
        assert len(path.read_text().splitlines()) <= most, path


def test_the_median_file_is_short():
    assert median(len(path.read_text().splitlines()) for path in FILES) <= MEDIAN_LINES


def test_functions_take_few_parameters():
    long = []
    for path in FILES:
        if path.parent.name == "linear" and path.stem in LOOPS:
            continue
        tree = tree_of(path)
        specs = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and node.name in SPECS
            for inner in node.body
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and id(node) not in specs:
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                counted = [a for a in arguments if a.arg not in ("self", "cls")]
                if len(counted) > MOST_PARAMETERS:
                    long.append(f"{path}: {node.name}")
    assert not long


def test_only_run_folders_name_their_files():
    named = []
    for path in FILES:
        if folder_of(path) == "runs" or path.name == "schema.py":  # it reads conf/config.yaml
            continue
        constants = {n.value for n in ast.walk(tree_of(path))
                     if isinstance(n, ast.Constant) and isinstance(n.value, str)}  # fmt: skip
        named += [f"{path}: {name}" for name in constants & FILE_NAMES]
    assert not named


def test_no_two_files_of_one_name_mean_unrelated_things():
    shared = {"__init__", "base"}  # what a package exports; the base class of a kind of component
    names = Counter(path.stem for path in FILES if path.stem not in shared)
    assert not [name for name, count in names.items() if count > 1]


def test_imports_point_down():
    layer = {name: level for level, names in enumerate(LAYERS) for name in names}
    upward = [
        f"{path} imports {module}"
        for path in FILES
        for module in imports(path)
        if module.startswith("gdframe.") and layer[module.split(".")[1]] > layer[folder_of(path)]
    ]
    assert not upward


def test_only_the_outer_folders_know_hydra():
    for path in FILES:
        if folder_of(path) not in HYDRA:
            known = {m for m in imports(path) if m.split(".")[0] in ("hydra", "omegaconf")}
            assert not known, path


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
