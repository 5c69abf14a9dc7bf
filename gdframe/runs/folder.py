"""A folder whose files are read and written without ever leaving it: no links, no devices."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from gdframe.errors import UserError, require_memory
from gdframe.runs.files import Flush, write_atomically
from gdframe.runs.lock import is_locked, locked, require_in_place
from gdframe.runs.parsing import conform, parse_json, parse_yaml

log = logging.getLogger("gdframe")

MOST_BYTES, MOST_OF_ALL = 1 << 22, 1 << 30
"""Most bytes of a file that is read whole, and of one that grows with runs or epochs."""

EXPANSION = 20
"""Most bytes of memory that a byte of such a file may take: ``[]`` in JSON is a list."""


class DamagedError(UserError):
    """A file of a folder cannot be used; the message names the file and what is wrong with it."""


class Folder:
    """A folder of gdframe, which may come from a stranger.

    Args:
        path: of the folder, which need not exist. It may be a link; what is inside may not.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    def absolute(self) -> Self:
        """Return this folder with an absolute path: a component may change the working folder."""
        return type(self)(self.path.absolute())

    def file(self, name: str) -> Path:
        """Return the path of a file in this folder, which need not exist.

        Raises:
            DamagedError: the name leads outside, or there is a link, a device or a folder.
        """
        return self._place(name, is_folder=False)

    def subfolder(self, name: str) -> Folder:
        """Return a folder in this folder, which need not exist.

        Raises:
            DamagedError: the name leads outside, or there is a link or a file.
            OSError: what is inside may not be read.
        """
        path = self._place(name, is_folder=True)
        try:
            os.scandir(path).close()
            os.lstat(f"{path}/.")
        except FileNotFoundError:
            pass
        except OSError as error:  # else its files would seem to be missing
            raise type(error)(error.errno, error.strerror, str(path)) from error
        return Folder(path)

    def _place(self, name: str, *, is_folder: bool) -> Path:
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
            raise DamagedError(f"{self.path}: '{name}' is not inside this folder")
        path = self.path
        for depth, part in enumerate(parts, start=1):
            path = path / part
            is_file = depth == len(parts) and not is_folder
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                break
            except NotADirectoryError:
                raise DamagedError(f"{path.parent}: is no folder; remove it") from None
            if not (stat.S_ISREG(mode) if is_file else stat.S_ISDIR(mode)):
                raise DamagedError(
                    f"{path}: is {_kind(mode)}, where gdframe writes a "
                    f"{'file' if is_file else 'folder'}; move it elsewhere"
                )
        return self.path / name

    def has(self, name: str) -> bool:
        """Return whether a file is here, which is no link.

        Raises:
            DamagedError: the folder may not be read.
        """
        try:
            return self.file(name).is_file()
        except PermissionError as error:
            raise DamagedError(f"{self.path}: cannot be read: {error.strerror}") from error
        except (DamagedError, OSError):
            return False

    def files(self, pattern: str) -> list[Path]:
        """Return the files here whose names match, sorted; links and devices are left out.

        Raises:
            DamagedError: the folder that holds them may not be read.
        """
        inside = (self.path / pattern).parent
        if inside.is_dir() and not os.access(inside, os.R_OK | os.X_OK):  # glob finds nothing
            raise DamagedError(f"{inside}: cannot be read: Permission denied; make it readable")
        names = (str(path.relative_to(self.path)) for path in self.path.glob(pattern))
        return [self.path / name for name in sorted(names) if self.has(name)]

    def read(self, name: str, *, most: int = MOST_BYTES) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: it cannot be read, is no file, or has more than ``most`` bytes.
            UserError: memory does not suffice.
        """
        with self.open(name) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise DamagedError(
                    f"{self.path / name}: has {size:,} bytes; at most {most:,} are read"
                )
            require_memory(str(self.path / name), EXPANSION * size, "free some memory")
            return file.read()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file to read it.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: it cannot be read, or is no file.
        """
        path = self.file(name)
        try:
            with open(path, "rb", opener=_without_following) as file:
                yield file
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DamagedError(f"{path}: cannot be read: {error.strerror}") from error

    def read_text(self, name: str, *, most: int = MOST_BYTES) -> str:
        """Return the content of a text file.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: it cannot be read, is not UTF-8, or has more than ``most`` bytes.
        """
        try:
            return self.read(name, most=most).decode()
        except UnicodeDecodeError as error:
            raise DamagedError(
                f"{self.path / name}: is damaged: byte {error.start} is not UTF-8"
            ) from error

    def read_json(
        self, name: str, schema: str, *, advice: str = "remove it", most: int = MOST_BYTES
    ) -> Any:
        """Return the content of a JSON file.

        Args:
            name: of the file.
            schema: name of its class in ``schemas.py``.
            advice: what to do about a damaged file, for the message.
            most: bytes of the file.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: it cannot be read, is no JSON, or does not conform to the schema.
        """
        return self._parsed(name, schema, parse_json, advice, most)

    def read_yaml(self, name: str, schema: str) -> Any:
        """Return the content of a YAML file, as ``read_json`` does."""
        return self._parsed(name, schema, parse_yaml, "remove it", MOST_BYTES)

    def _parsed(
        self, name: str, schema: str, parse: Callable[[str], Any], advice: str, most: int
    ) -> Any:
        text = self.read_text(name, most=most)
        with self.naming(name, advice):
            content = parse(text)
            conform(content, schema)
        return content

    @contextmanager
    def naming(self, name: str, advice: str) -> Iterator[None]:
        """Raise any ValueError as DamagedError that names a file, with advice."""
        try:
            yield
        except ValueError as error:
            raise DamagedError(f"{self.path / name}: is damaged: {error}; {advice}") from error

    def write(self, name: str, content: str | bytes, *, flush: Flush = "folder") -> None:
        """Write a file whole or not at all; see ``write_atomically``.

        Raises:
            DamagedError: the name leads outside, or there is a link or a folder.
            OSError: the file cannot be written; an earlier file remains.
        """
        write_atomically(self.file(name), content, flush=flush)

    def append(self, name: str, *, buffering: int = -1) -> BinaryIO:
        """Open a file to append to it.

        Raises:
            DamagedError: the name leads outside, or there is a link or a folder.
            OSError: the file cannot be opened.
        """
        return open(self.appendable(name), "ab", buffering, opener=_without_following)

    def appendable(self, name: str) -> Path:
        """Return the path of a file to append to, which need not exist.

        Raises:
            DamagedError: as ``file``, or the file has a second name, maybe outside this folder.
            OSError: this folder is no longer in its place.
        """
        path = self.file(name)
        require_in_place(path)
        if path.exists() and path.stat().st_nlink > 1:
            raise DamagedError(
                f"{path}: has a second name (a hard link), and both would change; replace it by a "
                "copy"
            )
        return path

    def remove(self, name: str) -> None:
        """Remove a file, if there is one that is no link.

        Raises:
            OSError: the file cannot be removed.
        """
        if self.has(name):
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Keep other processes and threads from training here. A thread may take its lock again.

        Args:
            shared: whether to allow other shared locks; a resumed run shares its sweep.

        Raises:
            UserError: another process trains here.
        """
        with locked(self.path, shared=shared):
            yield

    def is_training(self) -> bool:
        """Return whether a process trains here."""
        return is_locked(self.path)


def _without_following(path: str, flags: int) -> int:
    """Open a file, but no link, and without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket", stat.S_IFREG: "a file",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "a device")


def read_hydra(folder: Folder, name: str) -> Mapping[str, Any]:
    """Return the key ``hydra`` of a YAML file; empty if there is none, or it is damaged."""
    settings: Mapping[str, Any] = optional(lambda: folder.read_yaml(name, "HydraFile")["hydra"], {})
    return settings


def optional(read: Callable[[], Any], default: Any) -> Any:
    """Return what ``read`` returns, or ``default`` without the file; warn if it is damaged."""
    try:
        return read()
    except FileNotFoundError:
        return default
    except DamagedError as error:
        log.warning("warning: %s", error)
        return default
