"""Queries of users: one SELECT statement of DuckDB, whose rows fit in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdframe.data.reading.database import SHARE_OF_MEMORY, database, waiting_for
from gdframe.data.reading.file_kind import require_file
from gdframe.data.reading.named_files import MOST_FILES
from gdframe.data.reading.query_tree import files_in
from gdframe.errors import UserError, first_line, printable
from gdframe.memory import free_memory, limited_memory

if TYPE_CHECKING:
    import duckdb

FEWER = "select fewer rows or columns"

ROWS_OF_BATCH = 1 << 14
"""Rows whose memory is measured at a time."""


def run_query(query: str) -> Any:
    """Return the result of one SELECT statement as an Arrow table, in the order of its rows.

    Only what ``query_tree`` allows is run, in a database that reads the named files alone.

    Raises:
        UserError: the query fails, is not one SELECT statement that only reads regular files, has
            no columns, or needs more memory than is free.
    """
    import duckdb

    what = f"data.query={printable(' '.join(query.split()))[:100]}"
    try:
        patterns, files = _named(query, what)
        most = SHARE_OF_MEMORY * free_memory()  # DuckDB does not count what lists take
        with limited_memory(most), database([*patterns, *files]) as connection:
            return waiting_for(connection, lambda: _gathered(connection.sql(query), what))
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise UserError(
            f"{what}: needs more memory than the {SHARE_OF_MEMORY:.0%} of the free "
            f"{free_memory() / 1e9:,.3g} GB that a query may use; {FEWER}"
        ) from error
    except (duckdb.Error, OSError) as error:  # OSError: raised while batches are read
        message = " ".join(str(error).split())
        if "arrow_large_buffer_size" in message:
            raise UserError(
                f"{what}: its texts are longer than 2 GB in {ROWS_OF_BATCH:,} rows; select shorter "
                "texts"
            ) from error
        raise UserError(
            f"{what}: {printable(message)[:600]}: correct the query; it can read the files that "
            "you can"
        ) from error
    except (RuntimeError, UnicodeError) as error:
        raise UserError(f"{what}: {first_line(error)}") from error


def files_of_query(query: str) -> list[Path]:
    """Return the regular files that a query would read; it is not run.

    Raises:
        UserError: it cannot be parsed, reads more than regular files, or one of them is missing.
    """
    import duckdb

    try:
        return [Path(file) for file in _named(query, "data.query")[1]]
    except (duckdb.Error, OSError, RuntimeError, UnicodeError) as error:
        raise UserError(f"data.query: {printable(first_line(error))}") from error


def _named(query: str, what: str) -> tuple[list[str], list[str]]:
    """Return the patterns of names in a query, and the regular files that fit them."""
    with database([]) as connection:
        patterns = files_in(query, what, connection)
    with database() as connection:
        files = [file for pattern in patterns for file in _files(pattern, what, connection)]
    return patterns, files


def _files(pattern: str, what: str, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the regular files that a name or a pattern stands for in a query.

    Raises:
        UserError: there is none, or one is not a regular file.
    """
    statement = f"SELECT file FROM glob(?) LIMIT {MOST_FILES + 1}"
    rows = waiting_for(connection, lambda: connection.execute(statement, [pattern]).fetchall())
    names = [str(row[0]) for row in rows] or [pattern]
    if len(names) > MOST_FILES:
        raise UserError(f"{what}: '{pattern}' names more than {MOST_FILES:,} files")
    for name in names:
        try:
            require_file(Path(name))
        except UserError as error:
            raise UserError(f"{what}: {printable(error)}") from error
    return names


def _gathered(result: Any, what: str) -> Any:
    """Return all rows of a result as an Arrow table, unless they fill the memory."""
    import pyarrow as pa

    for name, kind in zip(result.columns, result.types, strict=True):
        if "UHUGEINT" in str(kind):  # which Arrow would take for signed
            raise UserError(
                f"{what}: column '{printable(name)}' is of type {kind}; cast it to DOUBLE"
            )
    free, size, batches = free_memory(), 0, []
    reader = result.to_arrow_reader(ROWS_OF_BATCH)
    for batch in reader:
        size += batch.nbytes
        if size > SHARE_OF_MEMORY * free:
            raise UserError(
                f"{what}: its rows need more than the {free / 1e9:,.3g} GB of memory that are "
                f"free; {FEWER}"
            )
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)
