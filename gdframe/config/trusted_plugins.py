"""Loads the plugins that the user names, and of a folder's those that are known to be his.

A folder may come from a stranger, so what its config names does not run by itself. The user's cache
keeps a mark for each plugin file, with its content, that he has named.
"""

from __future__ import annotations

import hashlib
import site
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path

from gdframe.errors import UserError
from gdframe.registry.plugins import absolute, load_plugins
from gdframe.runs.files import cache_folder


def load_named(plugins: Sequence[str]) -> list[str]:
    """Load plugins that the user names, and remember their files; return their absolute names.

    Raises:
        UserError: a plugin cannot be loaded.
    """
    named = [absolute(plugin) for plugin in plugins]
    load_plugins(named)
    marks = cache_folder("plugins")
    for plugin, digest in digests(named).items():
        if marks is not None:
            with suppress(OSError):  # a full cache only means to be asked again
                _mark(marks, plugin, digest).touch()
    return named


def digests(plugins: Sequence[str]) -> dict[str, str]:
    """Return a digest of each plugin that is a file, by its path."""
    return {
        plugin: _digest(Path(plugin))
        for plugin in plugins
        if plugin.endswith(".py") and Path(plugin).is_file()
    }


def load_stored(
    folder: Path,
    plugins: Sequence[str],
    stored: Mapping[str, str],
    again: Sequence[str] = (),
    option: str = "--plugins",
) -> list[str]:
    """Load the plugins of a run or a sweep; return their names.

    Args:
        folder: of the run or the sweep.
        plugins: that its config names.
        stored: their digests when it was trained.
        again: plugins that the user names now; one of them replaces one of the same file name.
        option: with which the user names them.

    Raises:
        UserError: a plugin is not known to be the user's, and he does not name it.
    """
    replaced = {Path(plugin).name for plugin in again}
    unchanged = [plugin for plugin in plugins if Path(plugin).name not in replaced]
    for plugin in unchanged:
        if reason := why_not(folder, plugin, stored):
            raise UserError(
                f"{folder}: was trained with the plugin {plugin}, which {reason}. gdframe runs no "
                f"code that only a folder names: if you trust it, name it again with {option} "
                f"{plugin if plugin.endswith('.py') else 'and its name'}"
            )
    load_plugins(unchanged, search_here=False)
    return [*unchanged, *load_named(again)]


def why_not(folder: Path, plugin: str, stored: Mapping[str, str]) -> str | None:
    """Return why a plugin that a folder's config names is not known to be the user's, or None."""
    if not plugin.endswith(".py"):
        is_installed = plugin.split(".")[0] in _installed_packages()
        return None if is_installed else "is not part of an installed package"
    path = Path(plugin)
    if not path.is_absolute():
        return "has no absolute path"
    if not path.is_file():
        return "does not exist"
    if path.resolve().is_relative_to(folder.resolve()):
        return "is inside the folder"
    digest = _digest(path)
    if stored.get(plugin) != digest:
        return "has changed since" if plugin in stored else "has no digest in the folder"
    marks = cache_folder("plugins")
    if marks is None or not _mark(marks, plugin, digest).is_file():
        return "you have not trained with"
    return None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mark(folder: Path, plugin: str, digest: str) -> Path:
    return folder / hashlib.sha256(f"{plugin}\n{digest}".encode()).hexdigest()


def _installed_packages() -> set[str]:
    """Return the names of installed modules, without those in the working folder."""
    paths = {*site.getsitepackages(), site.getusersitepackages()}
    paths |= {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    files = (file for package in distributions(path=sorted(paths)) for file in package.files or ())
    return {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"}
