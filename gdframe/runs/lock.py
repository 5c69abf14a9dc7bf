"""A lock on a folder, so that only one process trains in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdframe.errors import UserError

PATIENCE_SECONDS = 0.3
"""How long to wait for the lock: ``is_locked`` in another process holds it for microseconds."""


@contextmanager
def exclusive(
    folder: Path, *, shared: bool = False, patience: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """Keep other processes from training in ``folder`` at the same time.

    The operating system releases the lock when this process ends. On systems without ``flock``,
    such as Windows, nothing is locked.

    Args:
        folder: of a run or a sweep.
        shared: whether to allow other shared locks; a resumed run of a sweep shares the sweep.
        patience: seconds to wait for another process.

    Raises:
        UserError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    deadline = time.monotonic() + patience
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, operation)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise UserError(
                        f"{folder}: another process trains here; wait until it ends"
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Return whether a process trains in the folder of a run or a sweep."""
    try:
        with exclusive(folder, shared=True, patience=0.0):
            return False
    except UserError:
        return True
    except OSError:  # the folder does not exist
        return False
