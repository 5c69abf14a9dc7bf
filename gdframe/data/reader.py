"""The reader of tables: a file, a folder, a pattern of names or a query gives columns of Arrow."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from gdframe.data.reading.arff import is_arff, read_arff
from gdframe.data.reading.arrays import plain
from gdframe.data.reading.columnar import (
    read_feather,
    read_json,
    read_npz,
    read_parquet,
    require_unique,
    size_of_parquet,
)
from gdframe.data.reading.compressed import text_stream
from gdframe.data.reading.delimited import ParsedText, parse_text
from gdframe.data.reading.excel import cell_text, read_excel
from gdframe.data.reading.file_kind import kind_of_file
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.named_files import files_of
from gdframe.data.reading.query import run_query
from gdframe.data.reading.text_file import FEWER, text_file
from gdframe.errors import UserError, bad_value, counted, first_line, in_words, unknown

_Names = Sequence[Sequence[str]]

JSON_STARTS = "{", "["
"""First characters of a JSON file."""


@dataclass(frozen=True)
class RawTable:
    """A table as read, before its text becomes numbers or categories.

    Args:
        name: of the file, for messages.
        columns: by name; text is a dictionary, nulls are missing values. The memory of a column
            that is taken out is free once it is converted.
        layout: how the file's text is a table, complete.
        given: what of it the user has set.
        notes: on how it was read, a sentence each.
        nominal: columns that the file declares to hold categories.
        has_corner: whether a header names all columns but the first.
    """

    name: str
    columns: dict[str, pa.ChunkedArray]
    layout: Layout = field(default_factory=Layout)
    given: Layout = field(default_factory=Layout)
    notes: tuple[str, ...] = ()
    nominal: tuple[str, ...] = ()
    has_corner: bool = False

    @classmethod
    def of(cls, name: str, table: pa.Table, layout: Layout, notes: Sequence[str] = ()) -> RawTable:
        """Return the columns of a table of Arrow."""
        columns = dict(zip(table.column_names, table.columns, strict=True))
        return cls(name, columns, layout, notes=tuple(notes))

    @classmethod
    def of_text(cls, name: str, parsed: ParsedText) -> RawTable:
        """Return the columns of parsed text."""
        return cls(
            name, parsed.columns, parsed.layout, notes=parsed.notes, has_corner=parsed.has_corner
        )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.columns)

    @property
    def table(self) -> pa.Table:
        """The columns as a table of Arrow."""
        return pa.table(self.columns)


def read_file(
    path: str | Path,
    layout: Layout | None = None,
    *,
    text: Sequence[str] = (),
    known: Sequence[Sequence[str]] = (),
) -> RawTable:
    """Read a table. What a file is, its content decides, not its name.

    Args:
        path: a file, a folder, or a pattern such as ``2024-*.csv``.
        layout: what the user has set; by default nothing.
        text: columns to leave as text, even if their values look like numbers.
        known: possible names of all columns, as in an earlier file, for one without a header.

    Raises:
        UserError: a file is missing, unreadable, malformed, too large for memory, or has no rows or
            no columns; or files differ in their columns.
    """
    layout = layout or Layout()
    files = files_of(path)
    parts = [_read(file, layout, text, known) for file in files]
    if len(parts) == 1:
        return replace(parts[0], given=layout)
    names = parts[0].names
    for file, part in zip(files, parts, strict=True):
        others = part.names
        if others != names:
            missing, more = set(names) - set(others), set(others) - set(names)
            raise UserError(
                f"{file}: has other columns than {files[0].name} (lacks {in_words(sorted(missing))}"
                f", adds {in_words(sorted(more))}): name files of equal columns"
            )
    mixed = [n for n in names if len({str(p.columns[n].type) for p in parts}) > 1]
    if mixed:
        parts = [_read(file, layout, [*text, *mixed], known) for file in files]
        tables = [_as_text(part.table, mixed) for part in parts]
    else:
        tables = [part.table for part in parts]
    table = pa.concat_tables(tables).unify_dictionaries()
    notes = (*parts[0].notes, f"{len(files):,} files read")
    raw = RawTable.of(str(path), table, parts[0].layout, notes)
    nominal = tuple(n for n in names if any(n in part.nominal for part in parts))
    has_corner = all(part.has_corner for part in parts)
    return replace(raw, given=layout, nominal=nominal, has_corner=has_corner)


def _as_text(table: pa.Table, names: Sequence[str]) -> pa.Table:
    for place, name in enumerate(table.column_names):
        if name in names:
            column = plain(table.column(name))
            kind = pa.dictionary(pa.int32(), pa.string())
            if not pa.types.is_dictionary(column.type):
                column = column.cast(pa.string()).dictionary_encode()
            table = table.set_column(place, name, column.cast(kind))
    return table


def read_query(query: str) -> RawTable:
    """Read the result of a query.

    Raises:
        UserError: the query fails, or has no rows or no columns.
    """
    table = run_query(query)
    if table.num_rows == 0:
        raise bad_value("data.query gives no rows", "at least one row", "change its condition")
    counts = {name: table.column_names.count(name) for name in table.column_names}
    if doubled := [name for name, count in counts.items() if count > 1]:
        raise UserError(
            f"data.query gives several columns called {in_words(doubled)}: name them by AS"
        )
    return RawTable.of("data.query", table, Layout())


def from_memory(frame: Any) -> RawTable:
    """Return the columns of a table in memory: of pandas, polars, Arrow or a mapping.

    Raises:
        UserError: it is no table, or has no rows or two columns of one name.
    """
    kind = type(frame).__name__
    try:
        table = frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"the frame is a {kind} that is no table ({first_line(error)}): expected a frame of "
            "pandas, polars or Arrow, or a mapping from names to columns"
        ) from error
    require_unique(Path(kind), table.column_names)
    if table.num_rows == 0 or not table.column_names:
        raise bad_value(f"the {kind} has no rows", "at least one row")
    return RawTable.of(f"the {kind}", table, Layout())


def _read(file: Path, layout: Layout, text: Sequence[str], known: _Names) -> RawTable:
    with _one_message(file):
        raw = _read_kind(file, kind_of_file(file), layout, text, known)
    if raw.rows == 0:
        raise bad_value(f"{file} has no rows", "a header and at least one row")
    return raw


@contextmanager
def _one_message(file: Path) -> Iterator[None]:
    """Raise whatever a library raises about a file as UserError that names the file.

    The libraries that read damaged files raise exceptions of many classes, some of their own.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{file}: needs more memory than is free; {FEWER}") from error
    except OSError as error:
        is_of_system = error.errno is not None and error.filename is not None
        reason = str(error.strerror) if is_of_system else first_line(error)
        raise UserError(f"{file} cannot be read: {reason[:300]}") from error
    except Exception as error:
        raise UserError(f"{file} cannot be read: {first_line(error)[:300]}") from error


def _read_kind(
    file: Path, kind: str, layout: Layout, text: Sequence[str], known: _Names
) -> RawTable:
    if kind == "excel":
        return _from_excel(file, layout, text, known)
    if layout.sheet is not None and not known:  # a file to predict may be of another format
        raise UserError(f"data.sheet={layout.sheet}: {file} is no Excel file; leave data.sheet out")
    if kind == "npy":
        raise UserError(f"{file}: is one array: write a table as CSV, or several arrays as NPZ")
    if kind in ("parquet", "feather", "npz"):
        readers = {"parquet": read_parquet, "feather": read_feather, "npz": read_npz}
        return RawTable.of(str(file), readers[kind](file), layout)
    start = _start_of(file)
    if start.lstrip("\ufeff \t\r\n").startswith(JSON_STARTS) and not layout.separator:
        with text_file(file, layout.encoding) as source:
            return RawTable.of(str(file), read_json(file, source), layout, source.notes)
    if is_arff(start.splitlines()):
        with text_file(file, layout.encoding) as source:
            table, nominal = read_arff(file, source)
            return replace(RawTable.of(str(file), table, layout, source.notes), nominal=nominal)
    return RawTable.of_text(str(file), parse_text(file, layout, text=text, known=known))


def _start_of(file: Path) -> str:
    """Return the first characters of a file of text, without what does not decode."""
    with text_stream(file) as (stream, _):
        return bytes(stream.read(1 << 14)).replace(b"\x00", b"").decode("utf-8", errors="ignore")


def _from_excel(file: Path, layout: Layout, text: Sequence[str], known: _Names) -> RawTable:
    """Return a sheet of an Excel file, read as the text that it shows."""
    rows, notes = read_excel(file, layout.sheet)
    with TemporaryDirectory(prefix="gdframe-") as folder:
        copy = Path(folder) / "sheet.csv"
        with copy.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows(map(cell_text, row) for row in rows)
        parsed = parse_text(copy, replace(layout, separator=",", encoding=None), text=text,
                            known=known)  # fmt: skip
    raw = RawTable.of_text(str(file), parsed)
    separator = layout.separator  # that of the copy is of no file
    return replace(raw, layout=replace(raw.layout, separator=separator), notes=(*notes, *raw.notes))


def size_of(path: str | Path) -> float:
    """Return about how many bytes of memory a file takes; infinite if it is compressed.

    Of a file that cannot be read it returns 0: ``read_file`` says what is wrong with it.
    """
    with suppress(UserError):
        return sum(map(_size_of, files_of(path)))
    return 0.0


def _size_of(file: Path) -> float:
    with _one_message(file):
        kind = kind_of_file(file)
        if kind == "parquet":
            return size_of_parquet(file)
        if kind != "text":
            return math.inf
        with text_stream(file) as (_, how):
            return math.inf if how else file.stat().st_size


def pick(raw: RawTable, names: Sequence[str | int]) -> list[str]:
    """Return the names of columns that are named, or numbered from 1, or from -1 at the end.

    Raises:
        UserError: a column does not exist.
    """
    known = raw.names
    chosen, exists = [], set(known)
    for name in names:
        if str(name) in exists:
            chosen.append(str(name))
        elif isinstance(name, int) and not isinstance(name, bool):
            if not 1 <= abs(name) <= len(known):
                raise bad_value(
                    f"column {name} of {raw.name}",
                    f"a number from 1 to {len(known)}, or from -1 to -{len(known)}",
                    f"its columns are {shown_columns(known)}",
                )
            chosen.append(known[name - 1 if name > 0 else name])
        else:
            error = unknown(f"column '{name}' of {raw.name}", "column", str(name), known)
            raise UserError(f"{error}{_about(raw)}")
    return chosen


def shown_columns(names: Sequence[str], most: int = 12) -> str:
    """Return the first names of columns for a message."""
    more = f" and {counted(len(names) - most, 'more column')}" if len(names) > most else ""
    return in_words(names[:most]) + more


def _about(raw: RawTable) -> str:
    if raw.layout.header is False and raw.layout.names is None:
        return "; its first row was read as data: name columns by number, or set data.header=true"
    if len(raw.columns) == 1 and raw.layout.separator:
        return "; one column was read: set data.separator"
    return ""
