"""PNG files in the folder of a run or a sweep: names, writer and reader."""

from __future__ import annotations

import logging
from pathlib import Path

from gdframe.runs.files import write_atomically
from gdframe.runs.folder import DamagedError, Folder

LANDSCAPE, LR_RANGE = "landscape", "lr_range"
LEARNING_RATES, HEAT_MAP = "learning_rates", "heat_map"

DARK = ".dark.png"
"""End of the name of a picture's copy for dark pages."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG file."""

MARK = b"Software\x00gdframe"
"""Bytes near the start of each picture that gdframe draws."""

MOST_BYTES = 1 << 25
"""Most bytes of the pictures of one name that are shown."""

log = logging.getLogger("gdframe")


def picture_path(folder: Path, name: str, part: str = "") -> Path:
    """Return the path of a picture.

    Args:
        folder: of a run or a sweep.
        name: a constant of this module.
        part: the part of the sweep that it shows, if each part has its own picture.
    """
    return folder / f"{name}{f'-{part}' if part else ''}.png"


def dark_path(path: Path) -> Path:
    """Return the path of a picture's copy for dark pages."""
    return path.with_suffix(DARK)


def write_picture(folder: Path, name: str, png: bytes, part: str = "") -> Path:
    """Write a picture and return its path.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path := picture_path(folder, name, part), png)
    return path


def read_pictures(folder: Path, name: str) -> dict[str, tuple[bytes, bytes | None]]:
    """Return the pictures of one name by the part of the sweep that each shows.

    With each comes its copy for dark pages, if there is one. A file that is no picture is left out
    with a warning, and so are those that exceed ``MOST_BYTES`` in all.
    """
    inside, pictures, left = Folder(folder), {}, MOST_BYTES
    paths = _pictures(inside, name)
    for index, path in enumerate(paths):
        dark = dark_path(path)
        left -= sum(file.stat().st_size for file in (path, dark) if inside.has(file.name))
        if left < 0:
            log.warning(
                "warning: %s: pictures from %s on, %s in all, are left out: at most %s bytes are "
                "shown", folder, path.name, len(paths) - index, f"{MOST_BYTES:,}",
            )  # fmt: skip
            break
        if (content := _read(inside, path)) is not None:
            copy = _read(inside, dark) if inside.has(dark.name) else None
            pictures[path.stem.removeprefix(name).removeprefix("-")] = content, copy
    return pictures


def _read(inside: Folder, path: Path) -> bytes | None:
    try:
        content = inside.read(path.name, most=MOST_BYTES)
        if not content.startswith(SIGNATURE):
            raise DamagedError(f"{path}: is no PNG picture; remove it")
    except (OSError, DamagedError) as error:
        log.warning("warning: %s", error)
        return None
    return content


def remove_pictures(folder: Path, name: str) -> None:
    """Remove the pictures of one name from earlier launches.

    Raises:
        OSError: a file cannot be removed.
    """
    for path in _pictures(Folder(folder), name):
        with path.open("rb") as file:
            is_ours = MARK in file.read(512)
        if is_ours or path.name == f"{name}.png":  # other names may be a user's
            path.unlink()


def _pictures(folder: Folder, name: str) -> list[Path]:
    paths = folder.files(f"{name}.png") + folder.files(f"{name}-*.png")
    return [path for path in paths if not path.name.endswith(DARK)]
