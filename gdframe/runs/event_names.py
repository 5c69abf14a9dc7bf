"""Names of event files: TensorBoard reads any with ``tfevents``, and users may write their own."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

from gdframe.runs.folder import Folder

PATTERN = "events.out.tfevents.*"

_WRITTEN_HERE = re.compile(r"events\.out\.tfevents\.(.*\.gdframe|\d+\.(?!.*\.\d+\.\d+$).+\.\d+)")
"""The second form is that of earlier versions: time, host and process.

Other writers, such as PyTorch's, add a number to it.
"""


def is_written_here(path: Path) -> bool:
    """Return whether gdframe has written an event file, by its name.

    Example:
        >>> is_written_here(Path("events.out.tfevents.1700000000.host.12.gdframe"))
        True
        >>> is_written_here(Path("events.out.tfevents.1700000000.host.12.0"))  # of a SummaryWriter
        False
    """
    return _WRITTEN_HERE.fullmatch(path.name) is not None


def event_files(folder: Folder, inside: str = ".") -> list[Path]:
    """Return the event files in a folder that gdframe has written, sorted.

    Args:
        folder: of a run or a sweep.
        inside: pattern of folders in it.
    """
    return [path for path in folder.files(f"{inside}/{PATTERN}") if is_written_here(path)]


def new_name() -> str:
    """Return the name of a new event file."""
    return f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.gdframe"
