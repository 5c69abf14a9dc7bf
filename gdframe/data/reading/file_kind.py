"""The kind of a file by its first bytes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from gdframe.data.reading.compressed import readable
from gdframe.errors import UserError, bad_value

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
    if Path(os.path.realpath(file)).parts[1:2] in (("proc",), ("sys",)):  # of a loop of links, too
        raise bad_value(f"{file} is made by the system and shows its state", FORMATS)
    if not file.is_file():
        kind = "is a folder" if file.is_dir() else "is no regular file"
        raise bad_value(f"{file} {kind if file.exists() else 'does not exist'}", FORMATS)


def kind_of_file(file: Path) -> str:
    """Return what a file holds, such as ``parquet``, ``npz``, ``excel``, ``zip`` or ``text``.

    JSON and ARFF are text.

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
        with readable(file), zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if "xl/workbook.xml" in names:
            return "excel"
        if names and all(name.endswith(".npy") for name in names):
            return "npz"
    return kind
