"""PNG files in the folder of a run or a sweep: names, writer and reader."""

from __future__ import annotations

from pathlib import Path

from gdframe.runs.files import write_atomically
from gdframe.runs.folder import Folder

LANDSCAPE = "landscape"
LR_RANGE = "lr_range"
LEARNING_RATES = "learning_rates"
HEAT_MAP = "heat_map"


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

    Raises:
        DamagedError: a picture cannot be read.
    """
    inside = Folder(folder)
    return {
        path.stem.removeprefix(name).removeprefix("-"): inside.read(path.name)
        for path in inside.files(f"{name}*.png")
    }


def remove_pictures(folder: Path, name: str) -> None:
    """Remove the pictures of one name from earlier launches.

    Raises:
        OSError: a file cannot be removed.
    """
    for path in Folder(folder).files(f"{name}*.png"):
        path.unlink()
