"""Log handlers: to the console and to the log of a run, without control characters."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Hashable
from contextlib import suppress
from typing import TextIO

from gdframe.errors import printable, shortened
from gdframe.runs.folder import DamagedError, Folder

LOG = "gdframe.log"


class Printable(logging.Formatter):
    """Escapes control characters, and leaves the middle of a very long line out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        lines = printable(super().format(record), lines=True).split("\n")
        return "\n".join(map(shortened, lines))


def configure_log(stream: TextIO | None = None) -> None:
    """Log gdframe's messages, and only warnings of libraries.

    Args:
        stream: where to; by default standard output.
    """
    console = logging.StreamHandler(stream or sys.stdout)
    console.setFormatter(Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[console], force=True)
    logging.getLogger("gdframe").setLevel(logging.INFO)


_seen: set[Hashable] = set()


def begin_launch() -> None:
    """Begin a run or a sweep of its own: what an earlier one warned of is told again."""
    _seen.clear()


def is_first(key: Hashable) -> bool:
    """Return whether a launch asks about a key for the first time."""
    is_new = key not in _seen
    _seen.add(key)
    return is_new


def warn_once(text: str) -> None:
    """Log a warning; once for all runs of a launch, such as those of a sweep."""
    if is_first(text):
        logging.getLogger("gdframe").warning("warning: %s", text)


def add_log(folder: Folder) -> None:
    """Write this process's messages to the log of a run too. The caller holds the lock.

    Raises:
        DamagedError: there is a link or a folder in place of the log.
        OSError: the folder is no longer in its place.
    """
    handler = logging.FileHandler(folder.appendable(LOG), delay=True, encoding="utf-8")
    handler.setFormatter(Printable("[%(asctime)s][%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(handler)


def append_log(folder: Folder, text: str, level: str = "INFO") -> None:
    """Append lines to the log as a single run would, if it can be written."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError, DamagedError), folder.append(LOG) as file:
        file.write(f"[{stamp}][{level}] {printable(text, lines=True)}\n".encode())
