"""Atomic writes, the errors of a full disk, and the cache folder."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from gdframe.errors import UserError
from gdframe.runs.lock import require_in_place

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
}
"""Remedies for a full disk, a quota and a limit on file sizes, by the number of the error."""


class NotWrittenError(OSError):
    """gdframe cannot write a file. Other OSErrors come from users' components."""


@contextmanager
def storing() -> Iterator[None]:
    """Raise any OSError as ``NotWrittenError``."""
    try:
        yield
    except NotWrittenError:
        raise
    except OSError as error:
        raise NotWrittenError(*error.args) from error


def require_folder(path: Path, expected: str) -> None:
    """Raise unless a path is a folder.

    Raises:
        UserError: the path is not a folder; the message names ``expected``.
    """
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise UserError(f"{path}: {problem}; give {expected}")


Flush = Literal["folder", "file", "nothing"]
"""Kinds of flushing to disk, to survive a power cut: the new file and its name, the new file, or
nothing, where it can be made again. Each survives the end of the process."""


def require_place(output: str | Path, option: str = "--output") -> None:
    """Refuse a file to write that is a folder, or whose folder does not exist.

    Args:
        output: the file that the user names.
        option: by which the user names it.

    Raises:
        UserError: it cannot be written.
    """
    path = Path(output)
    if path.is_dir():
        raise UserError(f"{option} {output}: is a folder; give a file")
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {output}: is a pipe or a device; give a file")
    if not path.parent.is_dir():
        raise UserError(
            f"{option} {output}: the folder {path.parent} does not exist; make it first"
        )
    require_writable(path.parent, f"{option} {output}")


def require_writable(folder: Path, what: str) -> None:
    """Refuse a folder that cannot be made or written to, before anything is computed.

    Args:
        folder: that need not exist.
        what: named in the message.

    Raises:
        UserError: it cannot be written to.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        place = "" if existing == folder else f"{existing} "
        raise UserError(f"{what}: {place}is a file; give a folder")
    if not os.access(existing, os.W_OK):
        raise UserError(
            f"{what}: there is no permission to write to {existing}; choose another folder"
        )


def write_atomically(path: Path, content: bytes | str, *, flush: Flush = "folder") -> None:
    """Write a file whole or not at all: a temporary file is written and renamed.

    Args:
        path: of the file.
        content: of the whole file.
        flush: what is flushed to disk; ``file`` if another file is written into the folder next.

    Raises:
        OSError: the file cannot be written; an earlier file remains unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    require_in_place(path)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, flush=flush != "nothing") as file:
        file.write(data)
    if flush == "folder":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


MOST_LABEL = 40
"""Most characters of a file's name in that of its temporary file: names have at most 255 bytes."""


@contextmanager
def replacing(path: Path, label: str = "", *, flush: bool = True) -> Iterator[BinaryIO]:
    """Yield a temporary file, which replaces ``path`` at the end unless an error is raised.

    Args:
        path: of the file.
        label: part of the temporary file's name; by default the name of the file.
        flush: whether to flush the file to disk before it is renamed.

    Raises:
        OSError: the file cannot be written; an earlier file remains unchanged.
    """
    require_in_place(path)
    unique = f"{os.getpid()}-{os.urandom(4).hex()}"  # threads and containers may write at once
    temporary = path.with_name(f".{(label or path.name)[:MOST_LABEL]}.{unique}.gdframe.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path, name: str = "") -> None:
    """Remove temporary files that processes of this machine had left when they died.

    Args:
        folder: with the files.
        name: of the file that they were to replace; by default any.
    """
    pattern = re.compile(
        rf"\.{re.escape(name[:MOST_LABEL]) if name else '.+'}\.(\d+)(-[0-9a-f]+)?\.gdframe\.tmp"
    )
    for path in folder.glob(".*.gdframe.tmp"):
        match = pattern.fullmatch(path.name)
        is_dead = match is not None and not _is_alive(int(match[1]))
        if is_dead and stat.S_ISREG(path.lstat().st_mode):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Return whether another process of this machine runs, or cannot be asked."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return process != os.getpid()


def cache_folder(name: str) -> Path | None:
    """Return a cache folder, or None if it cannot be written, or others can write it.

    It is in ``$GDFRAME_CACHE``, which is trusted, else in ``$XDG_CACHE_HOME/gdframe``, else in
    ``~/.cache/gdframe``. It holds compiled code, which runs.
    """
    named = os.environ.get("GDFRAME_CACHE")
    root = named or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "gdframe")  # noqa: PTH118
    try:
        folder = Path(root).expanduser() / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_safe = bool(named) or all(map(_is_ours, (folder, folder.parent)))
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    return folder if is_safe and os.access(folder, os.W_OK) else None


def _is_ours(folder: Path) -> bool:
    """Return whether a folder belongs to this user, and not everybody may write in it."""
    status = folder.stat()
    user = os.getuid() if hasattr(os, "getuid") else status.st_uid
    return status.st_uid == user and not status.st_mode & stat.S_IWOTH
