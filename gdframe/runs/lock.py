"""A lock on a folder, so that only one process trains in it."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

from gdframe.errors import UserError

log = logging.getLogger("gdframe")

PATIENCE_SECONDS = 0.3
"""Longest wait for the lock: ``is_locked`` in another process holds it for microseconds."""

_held: dict[tuple[int, int, int], int] = {}
"""Descriptors of the folders that this process has locked, by device, inode and thread."""

_places: dict[str, tuple[int, int]] = {}
"""Device and inode of each folder that this process has locked, by its absolute path."""


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep other processes and threads from training in ``folder`` at the same time.

    The operating system releases the lock when this process ends. A thread may take a lock that it
    holds again; with ``shared``, it then lets other shared locks in. Systems without ``flock``,
    such as Windows, lock nothing; so do some network file systems, and then a warning says so.

    Args:
        folder: of a run or a sweep.
        shared: whether to allow other shared locks; a resumed run of a sweep shares the sweep.

    Raises:
        UserError: another process or thread holds the lock.
        OSError: the folder does not exist, or another process has just removed it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        key = status.st_dev, status.st_ino, get_ident()
        if key in _held:
            if shared:
                _take(_held[key], shared=True, patience=0.0)
            yield
            return
        try:
            is_free = _take(descriptor, shared=shared, patience=PATIENCE_SECONDS)
        except OSError as error:
            is_free = True
            log.warning(
                "warning: %s: this file system has no locks (%s), so nothing keeps a second "
                "process from training here: start only one",
                folder, error.strerror,
            )  # fmt: skip
        place = os.path.abspath(folder)  # noqa: PTH100 (a resolved path would not notice a move)
        is_free &= _places.get(place, key[:2]) == key[:2]
        if not is_free:
            raise UserError(f"{folder}: another process or thread trains here; wait until it ends")
        if key[:2] != identity(folder):
            raise FileNotFoundError(errno.ENOENT, "another process has removed it", str(folder))
        _held[key], _places[place] = descriptor, key[:2]
        try:
            yield
        finally:
            del _held[key]
            _places.pop(place, None)  # another thread may have shared it
    finally:
        os.close(descriptor)


def identity(folder: str | Path) -> tuple[int, int] | None:
    """Return the device and the inode of a folder, or None if there is none."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino


def require_in_place(file: Path) -> None:
    """Raise if a folder that ``file`` is in was locked by this process, and is no longer there.

    Raises:
        OSError: the folder was moved or removed, and another one may be in its place.
    """
    place = os.path.abspath(file)  # noqa: PTH100
    while place != (place := os.path.dirname(place)):  # noqa: PTH120
        if place in _places and identity(place) != _places[place]:
            raise OSError(errno.ESTALE, MOVED, place)


MOVED = "the folder was moved or removed while it was used"


def is_locked(folder: Path) -> bool:
    """Return whether a process trains in the folder of a run or a sweep."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # the folder does not exist
        return False
    try:
        return not _take(descriptor, shared=True, patience=0.0)
    except OSError:  # the file system has no locks
        return False
    finally:
        os.close(descriptor)


def _take(descriptor: int, *, shared: bool, patience: float) -> bool:
    """Lock an open folder; return whether no other process held it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True
