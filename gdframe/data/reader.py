"""The reader of CSV and Parquet files, which converts columns to numbers or categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from gdframe.data.csv_file import (
    COPIES,
    FEWER,
    CsvStream,
    about_header,
    is_numeral,
    malformed_line,
    require_columns,
)
from gdframe.data.dataset import first_rows
from gdframe.data.frame import Column
from gdframe.errors import (
    UserError,
    bad_value,
    first_line,
    in_words,
    require_memory,
    unknown,
    user_path,
)

MOSTLY_NUMBERS = 0.5
"""Share of numbers above which a text column counts as numbers with errors."""

PARQUET, PLAIN = (".parquet", ".pq"), (".csv", ".tsv", ".txt")
"""Ends of the names of files; a further end, as in ``.csv.gz``, says how a file is compressed."""


def read_file(path: str | Path, *, text: Sequence[str] = ()) -> pa.Table:
    """Read a CSV (``.csv``, ``.csv.gz``, ``.tsv``, ``.txt``) or Parquet file.

    Args:
        path: the file.
        text: columns of a CSV file to read as text, even if their values look like numbers.

    Raises:
        UserError: the file is missing, unreadable, of another kind, malformed, too large for
            memory, or has no rows, no columns, or two columns with one name.
    """
    file = user_path(path, links=False)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if not file.is_file():  # a pipe or a device might never end
        kind = "is a folder" if file.is_dir() else "is no regular file"
        kind = kind if file.exists() else "does not exist"
        raise bad_value(f"{file} {kind}", "a CSV or Parquet file")
    options = None
    try:
        if suffixes and suffixes[-1] in PARQUET:
            require_memory(str(file), size_of(file), FEWER)
            table = _read_parquet(file)
        elif set(PLAIN) & set(suffixes[-2:]):
            options = pa.csv.ParseOptions(delimiter="\t" if ".tsv" in suffixes else ",")
            content = CsvStream(file, options.delimiter)
            table = pa.csv.read_csv(
                content,
                pa.csv.ReadOptions(block_size=content.block_size),
                options,
                convert_options=pa.csv.ConvertOptions(
                    strings_can_be_null=True,
                    column_types=dict.fromkeys(text, pa.string()),
                ),
            )
        else:
            raise bad_value(f"{file} has an unknown file type", ".csv, .tsv or .parquet")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        malformed = malformed_line(file, options) if options is not None else None
        raise malformed or UserError(f"{file} cannot be read: {first_line(error)}") from error
    _require_unique(file, table.column_names)
    if table.num_rows == 0 or not table.column_names:
        raise bad_value(f"{file} has no rows", "a header and at least one row")
    return table


def _require_unique(file: Path, names: Sequence[str]) -> None:
    counts = Counter(names)
    if duplicates := sorted(name for name, count in counts.items() if count > 1):
        raise UserError(f"{file} has several columns called {in_words(duplicates)}: rename them")


def _read_parquet(file: Path) -> pa.Table:
    """Return the columns of a Parquet file; those of lists and of mappings without their values.

    Text stays a dictionary and indices into it, because a few bytes may stand for much text.
    """
    schema = pa.parquet.read_schema(file)
    require_columns(file, len(schema))
    _require_unique(file, schema.names)
    is_flat = {f.name: not _is_nested(f.type) for f in schema}
    dotted = [name for name in schema.names if "." in name]
    if dotted and not all(is_flat.values()):  # a list is chosen by a name with a dot, too
        raise UserError(f"{file} has lists or mappings, and a dot in {in_words(dotted)}: rename it")
    table = pa.parquet.read_table(
        file,
        columns=[name for name in schema.names if is_flat[name]],
        read_dictionary=[f.name for f in schema if _is_binary(f.type)],
    )
    table.validate(full=True)  # text in UTF-8
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for name in schema.names:
        if not is_flat[name]:
            kind = pa.opaque(pa.null(), str(schema.field(name).type), "parquet")
            columns[name] = pa.ExtensionArray.from_storage(kind, pa.nulls(table.num_rows))
    return pa.table({name: columns[name] for name in schema.names})


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )  # fmt: skip


def size_of(path: str | Path) -> float:
    """Return about how many bytes of memory a file takes; infinite if it is compressed text.

    Of a file that cannot be read it returns 0: ``read_file`` says what is wrong with it.
    """
    with suppress(OSError, ValueError, pa.ArrowException):
        file = user_path(path, links=False)
        if file.suffix.lower() in PARQUET and file.is_file():
            content = pa.parquet.read_metadata(file)
            groups = list(map(content.row_group, range(content.num_row_groups)))
            texts = sum(group.total_byte_size for group in groups)
            columns = map(content.schema.column, range(content.num_columns))
            width = sum(max(8, column.length or 0) for column in columns)  # of fixed-size binaries
            return float(max(texts, COPIES * width * sum(group.num_rows for group in groups)))
        return file.stat().st_size if file.suffix.lower() in PLAIN else math.inf
    return 0.0


def pick(table: pa.Table, names: list[str], path: str | Path) -> list[pa.Array]:
    """Return columns by name.

    Raises:
        UserError: a column does not exist.
    """
    known = dict.fromkeys(table.column_names)
    for name in names:
        if name not in known:
            error = unknown(f"column '{name}' of {path}", "column", name, known)
            raise UserError(f"{error}{about_header(list(known))}")
    return [plain(table.column(name)) for name in names]


def plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array: null columns as floats, views as text.

    Dictionaries of other values than text are decoded.
    """
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        if _is_binary(array.type.value_type):
            texts = plain(pa.chunked_array([array.dictionary]))
            return pa.DictionaryArray.from_arrays(array.indices, texts)
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):  # PyArrow does not look up views, and mixes null and ""
        array = array.cast(pa.large_string())
    return array.cast(pa.float64()) if pa.types.is_null(array.type) else array


def kind_of(array: pa.Array) -> str:
    """Return the name of the type of an array's values, for messages."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return str(kind.type_name if isinstance(kind, pa.OpaqueType) else kind)


def is_text(array: pa.Array) -> bool:
    """Return whether an array holds text, or a dictionary of text."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(array: pa.Array) -> bool:
    """Return whether an array holds integers, floats or decimals."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(kind(array.type) for kind in kinds)


def numbers(array: pa.Array) -> NDArray[Any]:
    """Return numbers or booleans as floats (float32 stays float32), nulls as NaN."""
    kind = pa.float32() if array.type == pa.float32() else pa.float64()
    filled = array.cast(kind, safe=False).fill_null(float("nan"))
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def codes(array: pa.Array, texts: Sequence[str]) -> NDArray[np.int32]:
    """Return the index of each value in ``texts``, (rows,); -1 for nulls and other values."""
    if pa.types.is_dictionary(array.type):
        places = pc.index_in(array.dictionary, pa.array(texts, array.dictionary.type))
        indices = places.take(array.indices)
    else:
        indices = pc.index_in(array, pa.array(texts, array.type))
    return np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False))


def describe_column(name: str, array: pa.Array, max_categories: int) -> Column:
    """Return the description of a raw feature.

    Raises:
        UserError: text is mostly numbers, there are too many categories, or the type is unusable.
    """
    if pa.types.is_boolean(array.type):
        return Column(name, "boolean")
    if is_number(array):
        return Column(name, "number")
    if not is_text(array):
        raise UserError(
            f"column '{name}' is of type {kind_of(array)}: expected numbers, true/false or text; "
            "convert it, or leave it out with data.features=[...]"
        )
    refuse_stray_text(name, array)
    categories = sorted(value for value in pc.unique(array).to_pylist() if value is not None)
    if len(categories) > max_categories:
        raise UserError(
            f"column '{name}' has {len(categories)} different texts in {len(array)} rows, more "
            f"than data.max_categories={max_categories}: leave it out with data.features=[...], "
            "or raise the limit"
        )
    return Column(name, "category", tuple(categories))


def refuse_stray_text(name: str, array: pa.Array) -> None:
    """Check that a text column does not consist mostly of numbers.

    Raises:
        UserError: most values are numbers; the message names the first rows and values that are
            not.
    """
    texts = [text for text in pc.unique(array).to_pylist() if text is not None]
    bad = np.flatnonzero(codes(array, [text for text in texts if not is_numeral(text)]) >= 0)
    present = len(array) - array.null_count
    if 0 < len(bad) < (1 - MOSTLY_NUMBERS) * present:
        shown = in_words(repr(array[int(row)].as_py()) for row in bad[:3])
        raise UserError(
            f"column '{name}' has text in {len(bad)} of {present} rows where the others are "
            f"numbers: {shown}, first in {first_rows(bad)}: correct them, or leave them empty"
        )


def feature_values(column: Column, array: pa.Array) -> NDArray[Any]:
    """Return a raw feature's values in the form that ``Frame`` and ``Encoding`` take.

    Raises:
        UserError: the values are not of the column's kind, or a category is unknown.
    """
    if column.kind != "category":
        if not is_number(array) and not pa.types.is_boolean(array.type):
            if is_text(array):
                refuse_stray_text(column.name, array)
            raise UserError(
                f"column '{column.name}' is of type {kind_of(array)}: expected numbers"
                + (" or true/false" if column.kind == "boolean" else "")
            )
        return numbers(array)
    if not is_text(array):
        is_dictionary = pa.types.is_dictionary(array.type)  # which stays one: it may be large
        kind = pa.dictionary(pa.int32(), pa.string()) if is_dictionary else pa.string()
        try:
            if isinstance(array.type, pa.BaseExtensionType):  # it has lost its values
                raise pa.ArrowTypeError
            array = array.cast(kind)
        except pa.ArrowException as error:
            raise UserError(
                f"column '{column.name}' is of type {kind_of(array)}: expected text"
            ) from error
    indices = codes(array, column.categories)
    bad = np.flatnonzero((indices < 0) & array.is_valid().to_numpy(zero_copy_only=False))
    if len(bad):
        raise UserError(
            f"column '{column.name}' has the category {array[int(bad[0])].as_py()!r}, which the "
            f"training data does not have, first in {first_rows(bad)}: expected one of "
            f"{in_words(column.categories)}"
        )
    return indices
