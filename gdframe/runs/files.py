"""Files that are the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdframe.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that free space, or a higher limit, would mend."""


class NotWrittenError(OSError):
    """The disk refused what gdframe was writing; other OSErrors are those of components."""


@contextmanager
def storing() -> Iterator[None]:
    """Raise what the disk refuses as ``NotWrittenError``."""
    try:
        yield
    except NotWrittenError:
        raise
    except OSError as error:
        raise NotWrittenError(*error.args) from error


def require_folder(path: Path, expected: str) -> None:
    """Do nothing if a path is a folder.

    Raises:
        UserError: it is none; ``expected`` says which one is wanted.
    """
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {problem}: expected {expected}")


def write_atomically(path: Path, content: bytes | str, *, settle: bool = True) -> None:
    """Write a temporary file beside ``path``, flush it to disk and rename it.

    Args:
        path: of the file.
        content: all of it.
        settle: whether the rename must survive a power cut already; not where another file is
            written into the same folder right after, which settles both.

    Raises:
        OSError: nothing is left behind and an earlier file stays as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if settle:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def cache_folder(name: str) -> Path | None:
    """Return a folder for what can be made again, or None where there can be none.

    It lies in ``$GDFRAME_CACHE``, else ``$XDG_CACHE_HOME/gdframe``, else ``~/.cache/gdframe``.
    """
    root = os.environ.get("GDFRAME_CACHE") or os.path.join(  # noqa: PTH118
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "gdframe"
    )
    try:
        folder = Path(root).expanduser() / name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the latter: there is no home
        return None
    return folder if os.access(folder, os.W_OK) else None
