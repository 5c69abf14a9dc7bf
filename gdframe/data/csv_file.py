"""CSV files: a stream that is refused when it fills the memory, and errors that name a line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from gdframe.errors import UserError, counted
from gdframe.memory import free_memory

COPIES = 3
"""Copies of a file's numbers in memory, of 8 bytes each, while they are encoded."""

FEWER = "give a file with fewer rows or columns"

MOST_COLUMNS = 120_000
"""Most columns of a file."""

LEAST_BLOCK, MOST_BLOCK, ROWS_OF_BLOCK = 1 << 20, 1 << 26, 64
"""Least and most bytes of a file that are read at a time, and about how many rows, or more: of each
column, each block becomes an array, which takes about 1 KB."""


def require_columns(file: Path, count: int) -> None:
    """Check that a file has no more columns than are read.

    Raises:
        UserError: it has more.
    """
    if count > MOST_COLUMNS:
        raise UserError(f"{file}: has {count:,} columns; at most {MOST_COLUMNS:,} are read")


MOST_HEADER = 1 << 24
"""Most bytes of a first line."""


class CsvStream(io.RawIOBase):
    """A text file, decompressed while it is read, and refused when its values fill the memory.

    Attributes:
        header: its first line, or its first bytes if that is long.
        block_size: bytes to read at a time.
    """

    def __init__(self, file: Path, delimiter: str) -> None:
        self._file, self._stream = file, pa.input_stream(file)  # which knows compression by name
        self._delimiter, self._free = delimiter.encode(), free_memory()
        self._bytes = self._values = 0
        start: bytes = pa.input_stream(file).read(MOST_HEADER)
        self.header = re.split(rb"[\r\n]", start, maxsplit=1)[0]
        self.block_size = min(max(LEAST_BLOCK, ROWS_OF_BLOCK * len(self.header)), MOST_BLOCK)
        require_columns(file, self.header.count(self._delimiter) + 1)

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            UserError: memory does not suffice for the values so far.
        """
        block: bytes = self._stream.read(size)
        self._bytes += len(block)
        self._values += block.count(self._delimiter) + max(block.count(b"\n"), block.count(b"\r"))
        if max(self._bytes, 8 * COPIES * self._values) > self._free:
            raise UserError(
                f"{self._file}: needs more than the {self._free / 1e9:,.3g} GB of memory that are "
                f"free; {FEWER}"
            )
        return block


SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Separators of columns that are not read, but for tabs in .tsv files."""


def about_header(names: Sequence[str]) -> str:
    """Return what is wrong with the names of columns, or an empty text."""
    for separator, words in SEPARATORS.items():
        if any(separator in name for name in names):
            return f"; {words} seem to separate the columns: write commas, or tabs in a .tsv file"
    if all(map(is_numeral, names)):
        return "; the first line must hold the names of the columns"
    return ""


def malformed_line(file: Path, options: pa.csv.ParseOptions) -> UserError | None:
    """Return the error for the first line with another number of values than the header."""
    rows: list[pa.csv.InvalidRow] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        rows.append(row)
        return "error"

    options.invalid_row_handler = keep
    one_thread = pa.csv.ReadOptions(use_threads=False)  # with several, a row has no number
    content = CsvStream(file, options.delimiter)
    with suppress(pa.ArrowException):
        pa.csv.read_csv(content, one_thread, options)
    if not rows:
        return None
    row, header = rows[0], content.header.decode(errors="replace")
    names = next(csv.reader([header], delimiter=options.delimiter))
    return UserError(
        f"{file}: line {row.number} has {counted(row.actual_columns, 'value')}, and the header has "
        f"{counted(row.expected_columns, 'column')}: correct this line{about_header(names)}"
    )


def is_numeral(text: str) -> bool:
    """Return whether text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
