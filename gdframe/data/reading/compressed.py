"""Files of text that are compressed, or alone in an archive, as streams."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gdframe.errors import UserError, first_line, in_words

STREAMS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
"""First bytes of compressed files."""


@contextmanager
def text_stream(file: Path) -> Iterator[tuple[IO[bytes], str]]:
    """Open a file of text, decompressed while it is read.

    Yields:
        The stream, and how the file is compressed; empty if it is not.

    Raises:
        UserError: the file cannot be decompressed, or an archive holds several files.
    """
    with file.open("rb") as raw:
        head = raw.read(8)
    how = next((how for start, how in STREAMS.items() if head.startswith(start)), "")
    openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open, "": open}
    with readable(file):
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive, archive.open(_only_member(file, archive)) as s:
                yield s, "zip"
        else:
            with openers[how](file, "rb") as stream:
                yield stream, how


def _only_member(file: Path, archive: zipfile.ZipFile) -> str:
    names = [
        info.filename for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]  # fmt: skip
    if len(names) != 1:
        shown = in_words(names[:5]) + (", ..." if len(names) > 5 else "")
        raise UserError(f"{file}: holds {len(names)} files ({shown}): unpack the one to read")
    return names[0]


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Raise errors of a damaged archive as UserError."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile,
            RuntimeError, NotImplementedError) as error:  # fmt: skip
        raise UserError(f"{file}: cannot be decompressed: {first_line(error)}") from error
