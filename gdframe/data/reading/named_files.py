"""The files that a user names: one, those of a folder, or those that fit a pattern."""

from __future__ import annotations

import glob
from pathlib import Path

from gdframe.data.reading.file_kind import require_file
from gdframe.errors import UserError, user_path

MOST_FILES = 10_000
"""Most files of a folder or a pattern."""


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
            files = sorted(map(Path, glob.glob(str(place))))  # noqa: PTH207 (of any folder)
            files = [file for file in files if file.is_file()]
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
