"""PNG files in the folder of a run or a sweep: names, writer and reader."""

from __future__ import annotations

import logging
from pathlib import Path

from gdframe.runs.files import write_atomically
from gdframe.runs.folder import DamagedError, Folder

LANDSCAPE = "landscape"
LR_RANGE = "lr_range"
LEARNING_RATES = "learning_rates"
HEAT_MAP = "heat_map"

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG file."""

MOST_BYTES = 1 << 25
"""Most bytes of a picture that is shown."""

log = logging.getLogger("gdframe")


def picture_path(folder: Path, name: str, part: str = "") -> Path:
    """Return the path of a picture.

    Args:
        folder: of a run or a sweep.
        name: a constant of this module.
        part: the part of the sweep that it shows, if each part has its own picture.
    """
    return folder / f"{name}{f'-{part}' if part else ''}.png"


def write_picture(folder: Path, name: str, png: bytes, part: str = "") -> Path:
    """Write a picture and return its path.

    Raises:
        OSError: the file cannot be written.
    """
    path = picture_path(folder, name, part)
    write_atomically(path, png)
    return path


def read_pictures(folder: Path, name: str) -> dict[str, bytes]:
    """Return the pictures of one name by the part of the sweep that each shows.

    A file that is no picture is left out with a warning.
    """
    inside, pictures = Folder(folder), {}
    for path in _pictures(inside, name):
        try:
            content = inside.read(path.name, most=MOST_BYTES)
            if not content.startswith(SIGNATURE):
                raise DamagedError(f"{path}: is no PNG picture; remove it")
        except (OSError, DamagedError) as error:
            log.warning("warning: %s", error)
        else:
            pictures[path.stem.removeprefix(name).removeprefix("-")] = content
    return pictures


def remove_pictures(folder: Path, name: str) -> None:
    """Remove the pictures of one name from earlier launches.

    Raises:
        OSError: a file cannot be removed.
    """
    for path in _pictures(Folder(folder), name):
        path.unlink()


def _pictures(folder: Folder, name: str) -> list[Path]:
    return folder.files(f"{name}.png") + folder.files(f"{name}-*.png")
