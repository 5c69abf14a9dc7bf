"""Locks on the sweeps that a run or a sweep lies in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gdframe.errors import user_path
from gdframe.runs.folder import Folder
from gdframe.runs.sweep_folder import SweepFolder


@contextmanager
def locked_sweeps(folder: Path, *, shared: bool) -> Iterator[None]:
    """Lock each sweep that a run or a sweep lies in: it may be of the runs of any of them.

    Args:
        folder: of the run or the sweep.
        shared: whether others may share the sweeps, but not train them.

    Raises:
        UserError: another process trains one of them, or the path leads to itself.
    """
    folders = (SweepFolder(parent) for parent in user_path(folder, home=False).parents)
    with ExitStack() as stack:
        for sweep in folders:
            if sweep.is_listed():
                stack.enter_context((sweep if shared else Folder(sweep.path)).lock(shared=shared))
        yield
