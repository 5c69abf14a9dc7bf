"""Loads plugins: installed packages, and files or modules that the user names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from gdframe.errors import UserError, user_path
from gdframe.registry.raised import raised

GROUP = "gdframe.plugins"
"""The entry-point group of installed packages."""

_loaded: list[str] = []


def load_plugins(named: list[str], *, search_here: bool = True) -> None:
    """Import installed plugins and those in ``named``; the import registers their components.

    Args:
        named: paths of Python files, or names of importable modules.
        search_here: whether modules in ``named`` may be in the working folder, where Python may not
            look; only for those that the user names.

    Raises:
        UserError: a plugin does not exist, raises, or registers a name that is taken.
    """
    for entry in entry_points(group=GROUP):
        label = f"plugin '{entry.name}' (of package {entry.dist.name if entry.dist else '?'})"
        if label not in _loaded:
            _load(label, entry.module, search_here=False)
            _loaded.append(label)
    for plugin in named:
        if plugin not in _loaded:
            _load(f"plugin '{plugin}'", plugin, search_here=search_here)
            _loaded.append(plugin)


def loaded() -> list[str]:
    """Return the names of the plugins that are loaded."""
    return list(_loaded)


def absolute(plugin: str) -> str:
    """Return the absolute path of a plugin file, or the unchanged name of a module.

    Raises:
        UserError: the path cannot be resolved.
    """
    return str(user_path(plugin)) if plugin.endswith(".py") else plugin


def _load(label: str, plugin: str, *, search_here: bool) -> None:
    if plugin.endswith(".py") and not Path(plugin).is_file():
        raise UserError(f"{label} cannot be loaded: {plugin} is not a file")
    from gdframe.randomness import Purpose, seeded  # imports PyTorch, as a plugin does

    streams, here = (sys.stdout, sys.stderr), Path.cwd()
    try:
        with seeded(0, Purpose.CONSTRUCT):  # its draws are the same in each process
            _import(plugin, search_here=search_here)
    except UserError as error:
        raise UserError(f"{label} cannot be used: {error}") from error
    except BaseException as error:  # also sys.exit(); Ctrl-C waits for the end of an import
        raise UserError(f"{label} cannot be imported: {raised(error)}") from error
    finally:  # a plugin may replace the streams, not take them away, nor move elsewhere
        os.chdir(here)
        sys.stdout, sys.stderr = sys.stdout or streams[0], sys.stderr or streams[1]


def _import(plugin: str, *, search_here: bool) -> None:
    if plugin.endswith(".py"):
        _load_file(Path(plugin))
    elif search_here:
        _load_from_here(plugin)
    else:
        importlib.import_module(plugin)


class _SourceLoader(SourceFileLoader):
    """Compiles the file itself: bytecode beside it may be of other code."""

    def get_code(self, fullname: str) -> Any:
        """Return the code of the file as it is now."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _load_from_here(name: str) -> None:
    """Import a module, also from the working folder."""
    before, here = list(sys.path), str(Path.cwd())
    sys.path.append(here)
    if here not in before:
        sources = (_SourceLoader, SOURCE_SUFFIXES)
        sys.path_importer_cache[here] = FileFinder(here, sources)
    try:
        importlib.import_module(name)
    finally:
        sys.path[:] = before
        if here not in before:
            sys.path_importer_cache.pop(here, None)


def _is_taken(name: str, path: Path) -> bool:
    """Return whether a name is that of another module than the file, imported or not."""
    if name in sys.modules:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    return spec is not None and spec.origin != str(path.resolve())


def _load_file(path: Path) -> None:
    name = path.stem
    if _is_taken(name, path):
        name = f"{name}_{hashlib.blake2b(bytes(path.resolve()), digest_size=8).hexdigest()}"
    loader = _SourceLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
