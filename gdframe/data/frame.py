"""Raw columns before preprocessing, and their conversion to numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gdframe.data.calendar_parts import parts_of

Kind = Literal["number", "boolean", "category", "date", "words"]

ABSENT = ""
"""Category of missing values, in a column of one text; no text of a file is empty."""


@dataclass(frozen=True)
class Column:
    """A raw feature.

    Args:
        name: of the column.
        kind: what its raw values are: numbers, numbers of two values, indices of categories,
            seconds since 1970, or arrays of the indices of words.
        categories: of a category in order; of a date, its parts; of words, their numbers as text.
        pattern: how its numbers or dates are written in text, if not plainly.
        least_scale: smallest divisor of its features when they are standardised. A category of one
            row in thousands would otherwise become a large number, at which descent diverges.
    """

    name: str
    kind: Kind = "number"
    categories: tuple[str, ...] = ()
    pattern: str = ""
    least_scale: float = field(default=0.0, compare=False)

    @property
    def width(self) -> int:
        """Number of the numeric features of the column."""
        return 1 if self.kind in ("number", "boolean") else len(self.categories)

    @property
    def feature_names(self) -> list[str]:
        """Names of the numeric features of the column: one, or one for each category or part."""
        if self.kind in ("number", "boolean"):
            return [self.name]
        return [f"{self.name}={category or '(missing)'}" for category in self.categories]


@dataclass(frozen=True)
class Frame:
    """Raw features by column and the target, as a source reads them.

    Args:
        columns: description of each raw feature.
        values: an array (rows, columns) of numbers, or one array (rows,) for each column; a
            categorical column holds indices into its categories, and -1 for a missing value.
        target: numbers, (rows,) or (rows, outputs), or class indices (rows,) with ``classes``.
        target_name: name of the target's column.
        classes: labels of a classification target, in the order of their indices.
        truth: for synthetic data, the parameters that generated it.
        reading: how a table was read, from which ``predict`` reads others; plain values.
        facts: what was read, for ``result.json``; plain values.
        notes: what was read, a line each.
        disposable: whether loading may free ``values``, a list, column by column.
        split_keys: (rows,) the time or the group of each row, for a split by these.
        weights: (rows,) above 0; None where all rows weigh the same.
    """

    columns: Sequence[Column]
    values: NDArray[Any] | Sequence[NDArray[Any]]
    target: NDArray[Any]
    target_name: str = "target"
    classes: tuple[Any, ...] | None = None
    truth: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    disposable: bool = False
    split_keys: NDArray[Any] | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        arrays = [self.values] if isinstance(self.values, np.ndarray) else self.values
        others = [part for part in (self.split_keys, self.weights) if part is not None]
        return sum(array.nbytes for array in (*arrays, self.target, *others))

    @property
    def feature_names(self) -> list[str]:
        """Names of all numeric features, in order."""
        return [name for column in self.columns for name in column.feature_names]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return rows as numbers, (len(rows), features); missing values are NaN."""
        return take(self.columns, self.values, rows)


def take(
    columns: Sequence[Column],
    values: NDArray[Any] | Sequence[NDArray[Any]],
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return rows of raw columns as an array of numbers, with one-hot encoded categories."""
    if isinstance(values, np.ndarray):
        return values[rows].astype(np.float64)
    width = sum(column.width for column in columns)
    out = np.empty((len(rows), width))
    position = 0
    for column, raw in zip(columns, values, strict=True):
        size = column.width
        place = slice(position, position + size)
        if column.kind == "category":
            codes = raw[rows]
            out[:, place] = codes[:, None] == np.arange(size)
            out[codes < 0, place] = np.nan
        elif column.kind == "date":
            out[:, place] = parts_of(raw[rows], column.categories)
        elif column.kind == "words":
            out[:, place] = 0.0
            for row, present in enumerate(raw[rows]):
                out[row, position + present] = 1.0
        else:
            out[:, position] = raw[rows]
        position += size
    return out


def first_rows(bad: NDArray[np.int64], limit: int = 3) -> str:
    """Return the first few row numbers as text: ``row 3``, ``rows 3, 8, 21``.

    They are counted from 1. A header is not counted, and the text says so.
    """
    shown = ", ".join(str(row + 1) for row in bad[:limit])
    return f"row{'s' if len(bad[:limit]) > 1 else ''} {shown} (a header is not counted)"
