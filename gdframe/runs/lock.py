"""One writer for each folder: a lock that goes with the process, however it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdframe.errors import UserError

PATIENCE_SECONDS = 0.3
"""How long a writer waits: who only asks whether a folder is locked holds it for microseconds."""


@contextmanager
def exclusive(
    folder: Path, *, shared: bool = False, patience: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """Keep other processes from training in ``folder`` at the same time.

    The lock is the folder's own, and the system releases it when this process ends. A system
    without such locks keeps nothing out.

    Args:
        folder: of a run or a sweep.
        shared: keep out only who wants it for itself, as one run of a sweep that is resumed does.
        patience: seconds to wait for another process.

    Raises:
        UserError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    deadline = time.monotonic() + patience
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, how)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise UserError(
                        f"a run is being trained in {folder}: wait until it ends"
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Return whether a process trains in a folder, of a run or a sweep."""
    try:
        with exclusive(folder, shared=True, patience=0.0):
            return False
    except UserError:
        return True
    except OSError:  # there is no such folder
        return False
