"""The files that a user names: one, those of a folder, or those that fit a pattern."""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from gdframe.data.reading.file_kind import require_file
from gdframe.errors import UserError, user_path

MOST_FILES = 10_000
"""Most files of a folder or a pattern."""

MOST_NAMES = 1_000_000
"""Most names in folders that are compared with a pattern."""


def files_of(path: str | Path) -> list[Path]:
    """Return the files that a path names, in the order of their names.

    Links are followed, and keep the name that the user gave.

    Args:
        path: a file, a folder, or a pattern with ``*``, ``?`` or ``[...]``.

    Raises:
        UserError: there is no such file.
    """
    place = user_path(path, links=False)
    try:
        if place.is_dir():
            files = sorted(f for f in place.iterdir() if f.is_file() and f.name[0] not in "._")
            if not files:
                raise UserError(f"{place}: is a folder without files: name a file of rows")
        elif not place.exists() and glob.has_magic(str(place)):
            files = sorted(file for file in _that_fit(place) if file.is_file())
            if not files:
                raise UserError(f"{place}: no file fits this pattern: correct it")
        else:
            files = [place]
            require_file(place)
    except UserError:
        raise
    except ValueError as error:  # a null character
        raise UserError(f"{path}: is not the path of a file: {error}") from error
    if len(files) > MOST_FILES:
        raise UserError(f"{place}: names {len(files):,} files; at most {MOST_FILES:,} are read")
    return files


def _that_fit(pattern: Path) -> list[Path]:
    """Return the paths that fit a pattern, as ``glob.glob`` does, within a limit on names.

    Raises:
        UserError: too many names would have to be compared.
    """
    found, compared = [pattern.anchor], 0
    for part in pattern.parts[bool(pattern.anchor) :]:
        if not glob.has_magic(part):
            found = [os.path.join(folder, part) for folder in found]  # noqa: PTH118 (many)
            continue
        fitting = []
        for folder in found:
            with suppress(OSError), os.scandir(folder or ".") as entries:
                for entry in entries:
                    compared += 1
                    if compared > MOST_NAMES:
                        raise UserError(
                            f"{pattern}: more than {MOST_NAMES:,} files and folders would be "
                            "compared with this pattern; name the folder"
                        )
                    is_shown = entry.name[0] != "." or part[0] == "."
                    if is_shown and fnmatchcase(entry.name, part):
                        fitting.append(os.path.join(folder, entry.name))  # noqa: PTH118 (many)
        found = fitting
    return [Path(path) for path in found if os.path.lexists(path)]
