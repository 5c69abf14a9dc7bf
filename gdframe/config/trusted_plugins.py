"""Loads plugins that the user names.

Of those that a folder names, it loads only what the user has named before, or has installed: a
folder may come from a stranger. The user's cache keeps a mark for each pair of path and content of
a plugin that the user has named.
"""

from __future__ import annotations

import hashlib
import shlex
import site
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import distributions, entry_points
from pathlib import Path

from gdframe.errors import UserError
from gdframe.registry.plugins import GROUP, absolute, load_plugins
from gdframe.runs.files import cache_folder


def load_named(plugins: Sequence[str]) -> list[str]:
    """Load plugins that the user names, and remember their files; return their absolute names.

    Raises:
        UserError: a plugin cannot be loaded.
    """
    named = [absolute(plugin) for plugin in plugins]
    load_plugins(named)
    marks, contents = cache_folder("plugins"), digests(named)
    for plugin in named:
        if marks is not None:
            with suppress(OSError):  # without the mark the user is asked again
                _mark(marks, plugin, contents.get(plugin, "")).touch()
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
    digests_in_folder: Mapping[str, str],
    named_now: Sequence[str] = (),
    option: str = "--plugins",
) -> list[str]:
    """Load the plugins of a run or a sweep; return their names.

    Args:
        folder: of the run or the sweep.
        plugins: that its config names.
        digests_in_folder: of the plugins when the run was trained, by path.
        named_now: plugins that the user names; one of them replaces one of the same file name.
        option: with which the user names them: ``--plugins``, or ``plugins=`` for an override.

    Raises:
        UserError: a plugin is not known to be the user's, and the user does not name it.
    """
    replaced = {Path(plugin).name for plugin in named_now}
    unchanged = [plugin for plugin in plugins if Path(plugin).name not in replaced]
    reasons = {plugin: why_not_trusted(folder, plugin, digests_in_folder) for plugin in unchanged}
    refused = [plugin for plugin, reason in reasons.items() if reason]
    if refused:
        raise UserError(
            f"{folder}: was trained with the plugin {refused[0]}, which {reasons[refused[0]]}. "
            "gdframe runs no code that only a folder names: if you trust it, name it again: "
            f"{_words([*named_now, *refused], option)}"
        )
    load_plugins(unchanged, search_here=False)
    return [*unchanged, *load_named(named_now)]


def _words(plugins: Sequence[str], option: str) -> str:
    """Return the words of a command line that name plugins."""
    if option.startswith("--"):
        return shlex.join([option, *plugins])
    from gdframe.config.override_syntax import with_plugins  # it imports Hydra

    return shlex.quote(with_plugins(option, plugins))


def why_not_trusted(folder: Path, plugin: str, digests_in_folder: Mapping[str, str]) -> str | None:
    """Return why a plugin that a folder's config names is not known to be the user's, or None."""
    if not plugin.endswith(".py"):
        if plugin.split(".")[0] not in _installed_modules():
            return "is not part of an installed package"
        is_declared = plugin in {entry.module for entry in entry_points(group=GROUP)}
        return None if is_declared or _is_marked(plugin, "") else "you have not named before"
    path = Path(plugin)
    if not path.is_absolute():
        return "has no absolute path"
    if not path.is_file():
        return "does not exist"
    if path.resolve().is_relative_to(folder.resolve()):
        return "is inside the folder"
    digest = _digest(path)
    if digests_in_folder.get(plugin) != digest:
        return "has changed since" if plugin in digests_in_folder else "has no digest in the folder"
    return None if _is_marked(plugin, digest) else "you have not named before"


def _is_marked(plugin: str, digest: str) -> bool:
    """Return whether the user has named a plugin with this content."""
    marks = cache_folder("plugins")
    return marks is not None and _mark(marks, plugin, digest).is_file()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mark(folder: Path, plugin: str, digest: str) -> Path:
    return folder / hashlib.sha256(f"{plugin}\n{digest}".encode()).hexdigest()


def _installed_modules() -> set[str]:
    """Return the names of installed modules, without those in the working folder."""
    paths = {*site.getsitepackages(), site.getusersitepackages()}
    paths |= {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    files = (file for package in distributions(path=sorted(paths)) for file in package.files or ())
    return {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"}
