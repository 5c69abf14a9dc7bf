"""Columns of one text and missing values: a missing value is a category of its own.

So a list of goods marks what was bought, and a form what was ticked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from gdframe.data.frame import ABSENT
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.errors import counted, printable


def is_mark(column: TypedColumn) -> bool:
    """Return whether a column holds one text, and missing values."""
    values = column.values
    return column.content == "text" and len(values.dictionary) == 1 and values.null_count > 0


def with_absent_category(column: TypedColumn) -> TypedColumn:
    """Return a column of one text whose missing values are the category ``ABSENT``."""
    indices = np.asarray(column.values.indices.fill_null(1)).astype(np.int32)
    texts = pa.array([*column.values.dictionary.to_pylist(), ABSENT], pa.string())
    return replace(column, values=pa.DictionaryArray.from_arrays(pa.array(indices), texts))


def absent_note(marks: Sequence[TypedColumn]) -> list[str]:
    """Return a line on columns in which a missing value is a category."""
    if not marks:
        return []
    text = marks[0].values.dictionary[0].as_py()
    more = f" and {counted(len(marks) - 1, 'more column')}" if len(marks) > 1 else ""
    return [
        f"column '{printable(marks[0].name)}'{more} of one text, such as {printable(text)!r}: a "
        "missing value is a category of its own"
    ]
