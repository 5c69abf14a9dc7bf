"""The different texts of a column, and the rows of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gdframe.data.reading.layout import Layout

SAMPLE = 200
"""Different texts by which it is decided what the texts of a column may be."""

FEW_VALUES = 10
"""Most different values of a column of numbers and text that are categories if they repeat."""


@dataclass(frozen=True)
class Texts:
    """The different texts of a column.

    Args:
        words: the texts without blanks around them, that are no null markers.
        places: (rows,) index of each row's text; -1 for a missing value.
        counts: rows of each text.
    """

    words: list[str]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, array: pa.Array, layout: Layout) -> Texts:
        """Return the texts of an array of text."""
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        markers = set(layout.markers)
        stripped = [None if t is None else t.strip() for t in array.dictionary.to_pylist()]
        places: dict[str, int] = {}
        order = [
            -1 if text is None or text in markers else places.setdefault(text, len(places))
            for text in stripped
        ]
        indices = array.indices.fill_null(len(order)).to_numpy(zero_copy_only=False)
        rows = np.array([*order, -1], dtype=np.int64)[indices]
        counts = np.bincount(rows[rows >= 0], minlength=len(places))
        used = counts > 0
        if not used.all():  # a dictionary may hold texts of no row
            renumbered = np.append(np.cumsum(used) - 1, -1)
            rows, counts = renumbered[rows], counts[used]
            return cls([w for w, u in zip(places, used, strict=True) if u], rows, counts)
        return cls(list(places), rows, counts)

    def numbers(self, by_text: Mapping[str, float]) -> pa.Array:
        """Return the number of each row's text as floats, null where there is none."""
        values = np.array([by_text.get(word, np.nan) for word in self.words] + [np.nan])[
            self.places
        ]
        is_known = np.array([word in by_text for word in self.words] + [False])[self.places]
        return pa.array(values, mask=~is_known)

    def rows_with(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows whose text is one of some."""
        chosen = set(words)
        marked = np.array([word in chosen for word in self.words] + [False])
        return np.flatnonzero(marked[self.places])

    def count(self, words: Sequence[str]) -> int:
        """Return the number of rows whose text is one of some."""
        chosen = set(words)
        return sum(int(c) for w, c in zip(self.words, self.counts, strict=True) if w in chosen)
