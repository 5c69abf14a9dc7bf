"""The parsers of delimited text: DuckDB, and PyArrow for tables of thousands of columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from gdframe.data.reading.database import database, literal

MOST_LINE = 1 << 24
"""Most bytes of a line."""

WIDE = 2_000
"""Columns from which on PyArrow parses: the time of DuckDB grows with their square."""

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
        """Whether a quote that begins a value does not end it."""
        return "quote" in str(self) and "unterminated" in str(self)


@dataclass(frozen=True)
class Dialect:
    """How a text is parsed.

    Args:
        path: of the text, in UTF-8.
        separator: one character between values.
        has_header: whether the first row is left out.
        markers: texts that stand for a missing value.
        quote: around values, or empty.
    """

    path: Path
    separator: str
    has_header: bool
    markers: tuple[str, ...]
    quote: str = '"'


def parse(dialect: Dialect, are_numbers: Sequence[bool]) -> list[pa.ChunkedArray]:
    """Return the columns of a text: floats, or text.

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


def _by_duckdb(dialect: Dialect, are_numbers: Sequence[bool]) -> list[pa.ChunkedArray]:
    import duckdb

    kinds = ("DOUBLE" if is_number else "VARCHAR" for is_number in are_numbers)
    columns = ",".join(f"'c{place}':'{kind}'" for place, kind in enumerate(kinds))
    quote = literal(dialect.quote)
    query = (
        f"SELECT * FROM read_csv({literal(str(dialect.path.absolute()))}, auto_detect=false, "
        f"header={str(dialect.has_header).lower()}, delim={literal(dialect.separator)}, "
        f"quote={quote}, escape={quote}, columns={{{columns}}}, strict_mode=true, "
        f"nullstr=[{','.join(map(literal, dialect.markers))}], max_line_size={MOST_LINE})"
    )
    with database([dialect.path]) as connection:
        try:
            return list(connection.sql(query).to_arrow_table().columns)
        except duckdb.ConversionException as error:
            if named := re.search(r'column "c(\d+)"', str(error)):
                raise NotANumberError(int(named[1])) from error
            raise ParsingError(str(error)) from error
        except duckdb.OutOfMemoryException as error:
            raise MemoryError(str(error)) from error
        except duckdb.Error as error:
            raise ParsingError(str(error)) from error


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
    return list(table.columns)
