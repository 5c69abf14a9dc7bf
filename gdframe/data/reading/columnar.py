"""Files of typed columns: Parquet, Feather, NPZ and JSON."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from gdframe.data.reading.arrow_sizes import MAGIC, decompressed_size
from gdframe.data.reading.database import database, file_literal, waiting_for
from gdframe.data.reading.delimited import MOST_COLUMNS
from gdframe.data.reading.text_file import COPIES, FEWER, TextFile
from gdframe.errors import UserError, in_words, printable, require_memory


def require_columns(file: Path, count: int) -> None:
    """Check that a file has no more columns than are read.

    Raises:
        UserError: it has more.
    """
    if count > MOST_COLUMNS:
        raise UserError(f"{file}: has {count:,} columns; at most {MOST_COLUMNS:,} are read")


def require_unique(file: Path, names: Sequence[str]) -> None:
    """Check that columns have different names.

    Raises:
        UserError: two columns have one name.
    """
    counts = Counter(names)
    if duplicates := sorted(name for name, count in counts.items() if count > 1):
        raise UserError(f"{file} has several columns called {in_words(duplicates)}: rename them")


def read_parquet(file: Path) -> pa.Table:
    """Return the columns of a Parquet file; those of lists and of mappings without their values.

    Text stays a dictionary and indices into it, because a few bytes may stand for much text.
    """
    require_memory(str(file), size_of_parquet(file), FEWER)
    schema = pa.parquet.read_schema(file)
    require_columns(file, len(schema))
    require_unique(file, schema.names)
    is_flat = {f.name: not _is_nested(f.type) for f in schema}
    dotted = [name for name in schema.names if "." in name]
    if dotted and not all(is_flat.values()):  # a list is chosen by a name with a dot, too
        raise UserError(f"{file} has lists or mappings, and a dot in {in_words(dotted)}: rename it")
    table = pa.parquet.read_table(
        file,
        columns=[name for name in schema.names if is_flat[name]],
        read_dictionary=[f.name for f in schema if is_binary(f.type)],
    )
    table.validate(full=True)  # text in UTF-8
    return _with_nested(table, schema)


def _with_nested(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with columns that name their type in place of nested ones."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for field in schema:
        if _is_nested(field.type):
            kind = pa.opaque(pa.null(), str(field.type), "parquet")
            columns[field.name] = pa.ExtensionArray.from_storage(kind, pa.nulls(table.num_rows))
    return pa.table({name: columns[name] for name in schema.names})


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType))


def is_binary(kind: pa.DataType) -> bool:
    """Return whether a type is text or bytes."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )  # fmt: skip


def size_of_parquet(file: Path) -> float:
    """Return about how many bytes of memory a Parquet file takes."""
    content = pa.parquet.read_metadata(file)
    groups = list(map(content.row_group, range(content.num_row_groups)))
    texts = sum(group.total_byte_size for group in groups)
    columns = map(content.schema.column, range(content.num_columns))
    width = sum(max(8, column.length or 0) for column in columns)  # of fixed-size binaries
    return float(max(texts, COPIES * width * sum(group.num_rows for group in groups)))


def read_feather(file: Path) -> pa.Table:
    """Return the columns of a Feather file; nested ones without their values."""
    with pa.memory_map(str(file)) as source:
        require_memory(str(file), COPIES * decompressed_size(source), FEWER)
        schema = _stream(source).schema
        require_columns(file, len(schema))
        require_unique(file, schema.names)
        flat = [i for i, field in enumerate(schema) if not _is_nested(field.type)]
        options = pa.ipc.IpcReadOptions(included_fields=flat, use_threads=False)
        batches, size = [], 0
        for batch in _stream(source, options):
            batches.append(batch)
            size += batch.nbytes  # a value may stand for many rows
            require_memory(str(file), COPIES * size, FEWER)
        flat_schema = pa.schema([schema.field(i) for i in flat])
        table = pa.Table.from_batches(batches, flat_schema)
        table.validate(full=True)
        return _with_nested(table, schema)


def _stream(source: pa.NativeFile, options: Any = None) -> pa.RecordBatchReader:
    """Return a reader of the messages whose sizes were checked: those that follow the first."""
    source.seek(MAGIC)
    return pa.ipc.open_stream(source, options=options)


def read_npz(file: Path) -> pa.Table:
    """Return the arrays of an NPZ file as columns; an array of two dimensions gives several."""
    columns: dict[str, Any] = {}
    with zipfile.ZipFile(file) as archive:
        _require_arrays(file, archive)
    with np.load(file, allow_pickle=False) as arrays:
        for name in arrays.files:
            array = arrays[name]
            if array.ndim == 1:
                columns[name] = array
            else:
                columns |= {f"{name}_{i + 1}": part for i, part in enumerate(array.T)}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        shown = ", ".join(f"'{name}' {len(column):,}" for name, column in columns.items())
        raise UserError(f"{file}: its arrays have different numbers of rows: {shown[:200]}")
    return pa.table({name: pa.array(np.ascontiguousarray(c)) for name, c in columns.items()})


def _require_arrays(file: Path, archive: zipfile.ZipFile) -> None:
    """Check the headers of the arrays in an NPZ file before memory is allocated for their values.

    Raises:
        UserError: a shape is none of a table's, or the values do not fit in memory.
    """
    headers = {(1, 0): np.lib.format.read_array_header_1_0,
               (2, 0): np.lib.format.read_array_header_2_0}  # fmt: skip
    size, width = 0.0, 0
    for info in archive.infolist():
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in headers:
                raise UserError(f"{file}: '{info.filename}' is no array of numbers or text")
            shape, _, kind = headers[version](stream)
        name = info.filename.removesuffix(".npy")
        if not kind.itemsize:  # so a few bytes stand for any number of rows
            raise UserError(f"{file}: array '{name}' has values of 0 bytes: leave it out")
        if len(shape) not in (1, 2):
            raise UserError(
                f"{file}: array '{name}' has the shape {shape}: expected (rows,) or (rows, columns)"
            )
        size += math.prod(map(float, shape)) * max(8, kind.itemsize)
        width += shape[1] if len(shape) == 2 else 1
    require_columns(file, width)
    require_memory(str(file), COPIES * size, FEWER)


def read_json(file: Path, source: TextFile) -> pa.Table:
    """Return the columns of a JSON file: one object a line, or a list of objects."""
    import duckdb

    path = str(source.path.absolute())
    with database([path]) as connection:
        query = f"SELECT * FROM read_json({file_literal(path)})"
        try:
            table = waiting_for(connection, lambda: connection.sql(query).to_arrow_table())
        except duckdb.Error as error:
            message = printable(" ".join(str(error).split()))[:300]
            raise UserError(f"{file} cannot be read as JSON: {message}") from error
    require_unique(file, table.column_names)
    return _with_nested(table, table.schema)
