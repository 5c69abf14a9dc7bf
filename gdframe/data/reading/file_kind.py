"""The kind of a file by its first bytes, and its content as a stream of text or as it is."""

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

from gdframe.errors import UserError, bad_value, first_line, in_words

STREAMS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
"""First bytes of compressed files."""

KINDS = {b"PAR1": "parquet", b"ARROW1\x00\x00": "feather", b"PK\x03\x04": "zip",
         b"\x93NUMPY": "npy"}  # fmt: skip
"""First bytes of files of tables and of archives."""

OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old Excel file: save it as .xlsx or .csv",
    b"\x89HDF": "an HDF5 file: write it as Parquet or CSV",
    b"SQLite format 3": "an SQLite database: export a table as CSV",
    b"%PDF": "a PDF file: give the table as CSV",
    b"\x89PNG": "a picture: give a table",
    b"\xff\xd8\xff": "a picture: give a table",
    b"(\xb5/\xfd": "compressed by zstd: decompress it first",
    b"\x80\x04\x95": "a pickle, which could run code: write the table as Parquet or CSV",
    b"\x80\x05\x95": "a pickle, which could run code: write the table as Parquet or CSV",
    b"\x7fELF": "a program: give a table",
}
"""First bytes of files that are not read, and what to do."""

FORMATS = "a table: CSV and other text, Parquet, Feather, JSON, ARFF, NPZ or Excel"


def require_file(file: Path) -> None:
    """Check that a path names a regular file: a pipe or a device might never end.

    Raises:
        UserError: it does not.
    """
    if not file.is_file():
        kind = "is a folder" if file.is_dir() else "is no regular file"
        raise bad_value(f"{file} {kind if file.exists() else 'does not exist'}", FORMATS)


def kind_of_file(file: Path) -> str:
    """Return what a file holds: ``parquet``, ``feather``, ``npz``, ``excel``, ``zip`` or ``text``.

    Raises:
        UserError: it holds no table, or is not a regular file.
    """
    require_file(file)
    with file.open("rb") as stream:
        head = stream.read(64)
    for start, reason in OTHERS.items():
        if head.startswith(start):
            raise UserError(f"{file}: is {reason}")
    kind = next((kind for start, kind in KINDS.items() if head.startswith(start)), "text")
    if kind == "zip":
        with _readable(file), zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if "xl/workbook.xml" in names:
            return "excel"
        if names and all(name.endswith(".npy") for name in names):
            return "npz"
    return kind


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
    with _readable(file):
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
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile,
            RuntimeError, NotImplementedError) as error:  # fmt: skip
        raise UserError(f"{file}: cannot be decompressed: {first_line(error)}") from error
