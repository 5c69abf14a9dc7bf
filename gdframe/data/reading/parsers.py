"""The parsers of delimited text: DuckDB, and PyArrow for tables of thousands of columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from gdframe.data.reading.database import database, file_literal, literal, waiting_for

MOST_LINE = 1 << 24
"""Most bytes of a line."""

ATTEMPTS = (1 << 20, "true"), (MOST_LINE, "true"), (MOST_LINE, "false")
"""Most bytes of a line, and whether DuckDB reads in parallel: at first it takes little memory, and
it says which files need more."""

MOST_MESSAGE = 10_000
"""Most characters of a message that are looked at; it may quote a long line."""

WIDE = 2_000
"""Columns from which on PyArrow parses: the time of DuckDB grows with their square."""

ROWS_OF_BATCH = 1 << 16
"""Rows of a batch of DuckDB's."""

TEXT = pa.dictionary(pa.int32(), pa.string())
"""Text as different texts and the index of each row's."""

LEAST_BLOCK, MOST_BLOCK, ROWS_OF_BLOCK = 1 << 20, 1 << 26, 64
"""Least and most bytes that PyArrow reads at a time, and about how many rows, or more: of each
column, each block becomes an array, which takes about 1 KB."""


class NotANumberError(Exception):
    """A column of numbers holds another text.

    Args:
        place: of the column, from 0.
    """

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


class ParsingError(Exception):
    """A text that cannot be parsed; the message is that of the parser."""

    @property
    def is_about_quotes(self) -> bool:
        """Tell whether a quote that begins a value does not end it."""
        return "unterminated quote" in str(self)


@dataclass(frozen=True)
class Dialect:
    """The rules by which a text is parsed.

    Args:
        path: of the text, in UTF-8.
        separator: one character between values.
        has_header: whether the first row is left out.
        markers: texts that stand for a missing value.
        most_rows: an upper bound of the rows.
        quote: around values, or empty.
    """

    path: Path
    separator: str
    has_header: bool
    markers: tuple[str, ...]
    most_rows: int
    quote: str = '"'


def parse(dialect: Dialect, are_numbers: Sequence[bool]) -> list[pa.ChunkedArray]:
    """Return the columns of a text: floats, or text in a dictionary.

    Args:
        dialect: of the text.
        are_numbers: for each column, whether it is read as numbers.

    Raises:
        NotANumberError: a column of numbers holds another text.
        ParsingError: the text is malformed.
        MemoryError: memory does not suffice.
    """
    if len(are_numbers) < WIDE:
        return _by_duckdb(dialect, are_numbers)
    return _by_arrow(dialect, are_numbers)


def _by_duckdb(
    dialect: Dialect, are_numbers: Sequence[bool], attempt: int = 0
) -> list[pa.ChunkedArray]:
    import duckdb

    most_line, parallel = ATTEMPTS[attempt]
    kinds = ("DOUBLE" if is_number else "VARCHAR" for is_number in are_numbers)
    columns = ",".join(f"'c{place}':'{kind}'" for place, kind in enumerate(kinds))
    quote, path = literal(dialect.quote), str(dialect.path.absolute())
    special = [mark for mark in (dialect.separator, dialect.quote) if mark]
    # DuckDB refuses other markers: a column with them is read as text
    markers = [text for text in dialect.markers if not any(mark in text for mark in special)]
    query = (
        f"SELECT * FROM read_csv({file_literal(path)}, auto_detect=false, "
        f"header={str(dialect.has_header).lower()}, delim={literal(dialect.separator)}, "
        f"quote={quote}, escape={quote}, columns={{{columns}}}, strict_mode=true, "
        f"nullstr=[{','.join(map(literal, markers))}], max_line_size={most_line}, "
        f"buffer_size={2 * most_line}, parallel={parallel})"
    )
    grown = [_Column(is_number, dialect.most_rows) for is_number in are_numbers]

    def add_rows() -> None:
        for batch in connection.sql(query).to_arrow_reader(ROWS_OF_BATCH):
            for column, array in zip(grown, batch, strict=True):
                column.add(array)

    with database([path]) as connection:
        try:
            waiting_for(connection, add_rows)
            return [column.joined() for column in grown]
        except (duckdb.Error, OSError) as error:  # OSError: raised while batches are read
            message = str(error)
            if named := re.search(r'converting column "c(\d+)"', message[:MOST_MESSAGE]):
                raise NotANumberError(int(named[1])) from error
            is_about_lines = "max_line_size" in message or "parallel = false" in message
            if is_about_lines and attempt + 1 < len(ATTEMPTS):
                return _by_duckdb(dialect, are_numbers, attempt + 1)
            if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in message:
                raise MemoryError(message[:MOST_MESSAGE]) from error
            raise ParsingError(message) from error


class _Column:
    """A column that grows by batches, in memory of its own: a batch of DuckDB's is freed whole.

    Numbers are written into one array, so that no second copy is made to join them.
    """

    def __init__(self, is_number: bool, most_rows: int) -> None:
        self._numbers = np.empty(most_rows) if is_number else None
        self._texts: list[pa.Array] = []
        self._rows = 0

    def add(self, array: pa.Array) -> None:
        """Add the values of a batch."""
        if self._numbers is None:
            self._texts.append(array.dictionary_encode())
            return
        end = self._rows + len(array)
        self._numbers[self._rows : end] = array.to_numpy(zero_copy_only=False)  # nulls are NaN
        self._rows = end

    def joined(self) -> pa.ChunkedArray:
        """Return all values: floats, of which NaN is missing, or text."""
        if self._numbers is None:
            column = pa.chunked_array(self._texts) if self._texts else pa.chunked_array([], TEXT)
            return column.unify_dictionaries()
        values = pa.py_buffer(self._numbers[: self._rows])
        return pa.chunked_array([pa.Array.from_buffers(pa.float64(), self._rows, [None, values])])


def _by_arrow(dialect: Dialect, are_numbers: Sequence[bool]) -> list[pa.ChunkedArray]:
    names = [f"c{place}" for place in range(len(are_numbers))]
    kinds = (pa.float64() if is_number else pa.string() for is_number in are_numbers)
    with dialect.path.open("rb") as stream:
        width = len(stream.readline(MOST_LINE))
    try:
        table = pa.csv.read_csv(
            dialect.path,
            pa.csv.ReadOptions(
                use_threads=False,
                block_size=min(max(LEAST_BLOCK, ROWS_OF_BLOCK * width), MOST_BLOCK),
                column_names=names,
                skip_rows=int(dialect.has_header),
            ),
            pa.csv.ParseOptions(
                delimiter=dialect.separator, quote_char=dialect.quote or False,
                newlines_in_values=bool(dialect.quote),
            ),
            pa.csv.ConvertOptions(
                column_types=dict(zip(names, kinds, strict=True)),
                null_values=list(dialect.markers), strings_can_be_null=True,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid as error:
        if named := re.search(r"column #(\d+): CSV conversion error", str(error)):
            raise NotANumberError(int(named[1])) from error
        raise ParsingError(str(error)) from error
    return [
        column if is_number else column.dictionary_encode()
        for column, is_number in zip(table.columns, are_numbers, strict=True)
    ]
