"""Arrow arrays: what they hold, and their values for NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gdframe.data.reading.columnar import is_binary


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array: nulls as floats, views as text, decimals in 128 bits or more.

    Dictionaries of other values than text are decoded.
    """
    array = column
    if isinstance(column, pa.ChunkedArray):  # one chunk needs no copy
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        if is_binary(array.type.value_type):
            texts = plain(pa.chunked_array([array.dictionary]))
            return pa.DictionaryArray.from_arrays(array.indices, texts)
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):  # PyArrow does not look up views, and mixes null and ""
        array = array.cast(pa.large_string())
    if pa.types.is_decimal32(array.type) or pa.types.is_decimal64(array.type):  # as for views
        array = array.cast(pa.decimal128(array.type.precision, array.type.scale))
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
    if array.type != kind:
        array = array.cast(kind, safe=False)
    if array.null_count:
        array = array.fill_null(float("nan"))
    return np.asarray(array.to_numpy(zero_copy_only=False))


def missing_in(array: pa.Array) -> int:
    """Return the number of missing values, NaN included."""
    if pa.types.is_floating(array.type):
        return int(np.count_nonzero(np.isnan(numbers(array))))
    return int(array.null_count)
