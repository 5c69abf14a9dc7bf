"""A column with the type of what it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Content = Literal["number", "boolean", "date", "text", "unusable"]


@dataclass(frozen=True)
class TypedColumn:
    """A column with the type of what it holds.

    Args:
        name: of the column.
        content: what it holds; ``unusable`` for lists, bytes and the like.
        values: floats, booleans, seconds since 1970, or text in a dictionary; nulls are missing.
        pattern: how numbers or dates are written, if not plainly; see ``NumberFormat`` and
            ``DateFormat``.
        notes: on what was read as what, a sentence each.
    """

    name: str
    content: Content
    values: pa.Array
    pattern: str = ""
    notes: tuple[str, ...] = ()

    def filtered(self, keep: NDArray[np.bool_]) -> TypedColumn:
        """Return the rows that a mask marks, (rows,), with the texts of these rows alone."""
        values = self.values.filter(pa.array(keep))
        if pa.types.is_dictionary(values.type):
            indices = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            used, places = np.unique(indices, return_inverse=True)
            texts = values.dictionary.take(pa.array(used[used >= 0]))
            places = places - np.count_nonzero(used < 0)
            codes = pa.array(places.astype(np.int32), mask=indices < 0)
            values = pa.DictionaryArray.from_arrays(codes, texts)
        return replace(self, values=values)
