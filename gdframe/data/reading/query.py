"""Queries of users: one SELECT statement of DuckDB, whose rows fit in memory."""

from __future__ import annotations

from typing import Any

from gdframe.data.reading.database import SHARE_OF_MEMORY, database
from gdframe.errors import UserError, first_line, printable
from gdframe.memory import free_memory


def run_query(query: str) -> Any:
    """Return the result of one SELECT statement as an Arrow table, in the order of its rows.

    Raises:
        UserError: the query fails, is not one SELECT statement, or has no columns.
    """
    import duckdb

    shown = printable(" ".join(query.split()))[:100]
    with database() as connection:
        try:
            statements = connection.extract_statements(query)
            kinds = [statement.type.name for statement in statements]
            if kinds != ["SELECT"]:
                raise UserError(
                    f"data.query={shown}: holds {len(kinds)} statements "
                    f"({', '.join(kinds).lower() or 'none'}): write one SELECT statement"
                )
            return _gathered(connection.sql(query), f"data.query={shown}")
        except duckdb.Error as error:
            message = " ".join(str(error).split())
            raise UserError(
                f"data.query={shown}: {printable(message)[:600]}: correct the query; it can read "
                "the files that you can"
            ) from error
        except (RuntimeError, UnicodeError) as error:
            raise UserError(f"data.query={shown}: {first_line(error)}") from error


def _gathered(result: Any, what: str) -> Any:
    """Return all rows of a result as an Arrow table, unless they fill the memory."""
    import pyarrow as pa

    free, size, batches = free_memory(), 0, []
    reader = result.to_arrow_reader()
    for batch in reader:
        size += batch.nbytes
        if size > SHARE_OF_MEMORY * free:
            raise UserError(
                f"{what}: its rows need more than the {free / 1e9:,.3g} GB of memory that are "
                "free; select fewer rows or columns"
            )
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)
