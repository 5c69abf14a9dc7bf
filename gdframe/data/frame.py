"""Raw columns before preprocessing, and their conversion to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["number", "boolean", "category"]


@dataclass(frozen=True)
class Column:
    """A raw feature: its name, its kind and, for a categorical feature, its categories in order."""

    name: str
    kind: Kind = "number"
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of the numeric features of the column."""
        return len(self.categories) if self.kind == "category" else 1

    @property
    def feature_names(self) -> list[str]:
        """Names of the numeric features of the column: one, or one for each category."""
        if self.kind == "category":
            return [f"{self.name}={category}" for category in self.categories]
        return [self.name]


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
    """

    columns: Sequence[Column]
    values: NDArray[Any] | Sequence[NDArray[Any]]
    target: NDArray[Any]
    target_name: str = "target"
    classes: tuple[Any, ...] | None = None
    truth: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

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
        if column.kind == "category":
            codes = raw[rows]
            out[:, position : position + size] = codes[:, None] == np.arange(size)
            out[codes < 0, position : position + size] = np.nan
        else:
            out[:, position] = raw[rows]
        position += size
    return out
