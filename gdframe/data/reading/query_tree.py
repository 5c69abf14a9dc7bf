"""The tree of a query: what it may hold, and the files that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gdframe.errors import UserError, printable

if TYPE_CHECKING:
    import duckdb

READERS = frozenset({
    "parquet_scan", "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto",
    "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto",
    "read_ndjson_objects", "read_parquet", "read_text",
})  # fmt: skip
"""Functions that give the rows of files."""

TABLES = READERS | {
    "generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest",
}  # fmt: skip
"""Functions that a query may select from."""

REFUSED = frozenset({
    "current_connection_id", "current_query", "current_query_id", "current_setting",
    "current_transaction_id", "currval", "getenv", "getvariable", "json_deserialize_sql",
    "json_serialize_plan", "json_serialize_sql", "nextval", "pg_sleep", "setval", "sleep_ms",
    "stats", "vector_type", "write_log",
})  # fmt: skip
"""Functions of values that run SQL, wait, or show or change more than the values of rows."""

EXPRESSIONS = frozenset({
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT",
    "FUNCTION", "LAMBDA", "LAMBDA_REF", "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY",
    "TYPE", "WINDOW",
})  # fmt: skip
"""Classes of expressions."""

PARTS = frozenset({
    "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE",
    "BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION",
    "DISTINCT_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER",
    "ASCENDING", "DESCENDING", "ORDER_DEFAULT",
})  # fmt: skip
"""Types of the other parts: nodes, sources of rows, modifiers, directions."""

ADVICE = "write one SELECT statement that only reads files"

PIVOT_ADVICE = "list the values of PIVOT: ON kind IN ('a', 'b')"

MOST_TEXT = 20_000
"""Most characters of a query: DuckDB parses some long ones for minutes."""

SPELLED = {"show ref": "DESCRIBE or SUMMARIZE"}
"""Words of SQL for parts that DuckDB names otherwise."""


def files_in(query: str, what: str, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names and patterns of the files that a query reads.

    DuckDB parses the query and does not run it.

    Args:
        query: text of SQL.
        what: the query, for messages.
        connection: that parses the query.

    Raises:
        UserError: the query cannot be parsed, or is not one SELECT statement that only reads files
            whose names are literal texts.
    """
    if len(query) > MOST_TEXT:
        raise UserError(f"{what}: has {len(query):,} characters; at most {MOST_TEXT:,} are read")
    row = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    assert row is not None
    try:
        tree = json.loads(row[0])
        parts = list(_parts(tree))
    except RecursionError as error:
        raise UserError(f"{what}: is nested too deeply; write a shorter query") from error
    if tree["error"]:
        if tree["error_type"] == "not implemented":
            pivot = PIVOT_ADVICE if "pivot" in query.lower() else ADVICE
            raise UserError(f"{what}: is not a SELECT statement; {pivot}")
        message = printable(" ".join(tree["error_message"].split()))[:600]
        raise UserError(f"{what}: {message}; correct the query")
    if (count := len(tree["statements"])) != 1:
        raise UserError(f"{what}: holds {count} statements; {ADVICE}")
    try:
        views = {table["key"].lower() for part in parts for table in part.get("map", ())}
        _check_views(views, connection)
        return [name for part in parts for name in _files_of(part, views)]
    except UserError as error:
        raise UserError(f"{what}: {error}") from None


def _check_views(views: set[str], connection: duckdb.DuckDBPyConnection) -> None:
    """Check that no table of WITH has the name of a table of the database.

    Outside its SELECT such a name would stand for that one, which holds settings or names.

    Raises:
        UserError: one has.
    """
    for name in views:
        quoted = '"' + name.replace('"', '""') + '"'
        try:
            connection.execute(f"SELECT 1 FROM {quoted} LIMIT 0")
        except Exception:  # there is no such table, as it should be
            continue
        raise UserError(f"WITH {printable(name)}: is a table of the database; choose another name")


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield each mapping in a tree, the root included."""
    if isinstance(tree, dict):
        yield tree
        tree = tree.values()
    elif not isinstance(tree, list):
        return
    for branch in tree:
        yield from _parts(branch)


def _files_of(part: dict[str, Any], views: set[str]) -> list[str]:
    """Return the files that a part of a query names.

    Args:
        part: of the tree.
        views: names of the query's own tables, those of WITH.

    Raises:
        UserError: a query may not hold this part.
    """
    kind = part.get("class", part.get("type"))
    is_type = isinstance(kind, dict) or str(kind).endswith("_TYPE_INFO")  # of a value
    is_known = kind is None or is_type or kind in (EXPRESSIONS if "class" in part else PARTS)
    if not is_known or "info_type" in part:
        shown = str(kind).removesuffix("_NODE").replace("_", " ").lower()
        shown = SPELLED.get(shown, shown)
        raise UserError(f"{printable(shown)} is not allowed; {ADVICE}")
    if "function_name" in part and _name_of(part) in REFUSED:
        raise UserError(f"the function {_name_of(part)} is not allowed; {ADVICE}")
    if kind == "BASE_TABLE":
        path = part["qualified_name"]["path"]
        is_view = len(path) == 1 and path[0].lower() in views
        return [] if is_view else [".".join(path)]  # as DuckDB joins a name such as houses.csv
    if kind == "TABLE_FUNCTION":
        function = part["function"]
        name = _name_of(function)
        if name not in TABLES:
            raise UserError(
                f"the table function {printable(name)} is not allowed; select from files, or from "
                "read_csv, read_json or read_parquet"
            )
        if name in READERS:
            values = [a["expression"] for a in function["arguments"] if not _is_option(a)]
            return [text for value in values for text in _literals(value, name)]
    return []


def _name_of(function: dict[str, Any]) -> str:
    """Return the name of a function without its schema."""
    return str(function["qualified_name"]["path"][-1]).lower()


def _is_option(argument: dict[str, Any]) -> bool:
    """Return whether an argument has a name, written ``name := value`` or ``name = value``."""
    value = argument["expression"]
    is_equation = value["type"] == "COMPARE_EQUAL" and value["left"]["class"] == "COLUMN_REF"
    return bool(argument["name"]) or is_equation


def _literals(value: dict[str, Any], name: str) -> list[str]:
    """Return the texts of a literal text, or of a list of them."""
    if value["class"] == "CONSTANT" and value["literal"]["kind"] == "STRING":
        return [value["literal"]["text"]]
    if value["class"] == "FUNCTION" and _name_of(value) == "list_value":
        items = [argument["expression"] for argument in value["arguments"]]
    elif value["type"] == "ARRAY_CONSTRUCTOR":
        items = value["children"]
    else:
        raise UserError(f"{name} has a computed file name; write it as a text in quotes")
    return [text for item in items for text in _literals(item, name)]
