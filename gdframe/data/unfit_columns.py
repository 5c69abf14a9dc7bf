"""Columns that should not be features: row numbers, identifiers, constants, long texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gdframe.data.reading.arrays import is_number, missing_in, numbers
from gdframe.data.reading.typed import TypedColumn
from gdframe.errors import counted, override_value

ROW_NAMES = re.compile(
    r"|c1|unnamed(: ?\d+|_\d+)?|__index_level_\d+__|index|row_?(names?|ids?|num(ber)?s?|no)?|"
    r"id|.*[_ .-]id|.*I[Dd]|uuid|guid|no\.?|nr\.?|obs|observation|record|instant|#",
    re.IGNORECASE | re.DOTALL,
)
"""Names of columns that may number or name the rows."""

IDENTIFIER = 0.9
"""Share of rows with a text of their own from which on a column names its rows."""

FEW_ROWS = 20
"""Rows below which texts that all differ may be categories."""

SENTINELS = (-1.0, -9.0, -99.0, -200.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0)
"""Numbers that often stand for a missing value."""

MOST_ROWS = 10_000
"""Most rows that are compared to recognise a copy of the target."""


@dataclass(frozen=True)
class LeftOut:
    """A column that is no feature.

    Args:
        column: its name.
        reason: why it is left out.
        key: what brings it back; empty if it could not teach anything.
    """

    column: str
    reason: str
    key: str = ""

    def __str__(self) -> str:
        """Return a sentence."""
        return f"column '{self.column}' is left out: {self.reason}" + (
            f"; to keep it, set {self.key}" if self.key else ""
        )


def why_left_out(
    column: TypedColumn, place: int, max_categories: int, *, hashed: bool = False
) -> LeftOut | None:
    """Return why a column should not be a feature, or None.

    Args:
        column: with the type of what it holds.
        place: of the column in the table, from 0.
        max_categories: most different texts of a feature.
        hashed: whether the words of longer texts become features.
    """
    name, values = column.name, column.values
    rows, present = len(values), len(values) - missing_in(values)
    if column.content == "unusable":
        return None
    if column.content == "text":
        count = len(values.dictionary)
        if count <= 1:
            return LeftOut(name, _constant(column, present))
        if hashed:
            return None
        if rows >= FEW_ROWS and count >= IDENTIFIER * present:
            return LeftOut(
                name, f"it has {count:,} different texts in {counted(rows, 'row')}, as names have",
                f"data.text=hash, or data.max_categories={count}",
            )  # fmt: skip
        if count > max_categories:
            return LeftOut(
                name, f"it has {count:,} different texts, more than data.max_categories="
                f"{max_categories}", f"data.max_categories={count}, or data.text=hash,",
            )  # fmt: skip
        return None
    array = numbers(values)
    finite = array[np.isfinite(array)]
    if present == 0 or (len(finite) == present and finite.min() == finite.max()):
        return LeftOut(name, _constant(column, present))
    if column.content == "number" and _numbers_rows(name, place, array):
        return LeftOut(
            name, "it numbers the rows", f"data.features=[...] with {override_value(name)}"
        )
    return None


def _constant(column: TypedColumn, present: int) -> str:
    if not present:
        return "it has no values"
    value = next(v for value in column.values if (v := value.as_py()) is not None and v == v)
    return f"its value is always {value!r}"


def _numbers_rows(name: str, place: int, array: NDArray[np.float64]) -> bool:
    """Return whether whole numbers are a different one in each row, and the name tells so."""
    if not ROW_NAMES.fullmatch(name) or (name == "c1" and place != 0) or len(array) < 3:
        return False
    if not (np.isfinite(array).all() and (array == np.round(array)).all()):
        return False
    steps = np.diff(array)
    counts_up = bool((steps == 1).all() and array[0] in (0, 1))
    if name == "c1":  # a file without a header may begin with any column
        return counts_up
    return counts_up or len(np.unique(array)) >= IDENTIFIER * len(array)


def suspected_sentinel(column: TypedColumn) -> str:
    """Return a sentence on a number that stands apart and may mean a missing value, or nothing."""
    if column.content != "number" or not is_number(column.values):
        return ""
    array = numbers(column.values)
    array = array[np.isfinite(array)]
    if len(array) < FEW_ROWS:
        return ""
    for extreme in (array.min(), array.max()):
        if float(extreme) not in SENTINELS:
            continue
        others = array[array != extreme]
        count = len(array) - len(others)
        if len(others) < 3 or count < 2:
            continue
        low, high = others.min(), others.max()
        away = low - extreme if extreme < low else extreme - high
        if away > (high - low) and (low >= 0 or extreme > 0 or away > 2 * (high - low)):
            return (
                f"column '{column.name}': {extreme:g} in {counted(count, 'row')} lies far from the "
                f"others ({low:g} to {high:g}); data.null_values=[{extreme:g}] if it stands for a "
                "missing value"
            )
    return ""


def copies_of_target(
    columns: Sequence[TypedColumn], target: NDArray[np.generic], is_class: bool
) -> list[str]:
    """Return sentences on columns from which the target follows exactly."""
    if len(columns) < 2 or len(target) < FEW_ROWS or target.ndim > 1:
        return []
    step = -(-len(target) // MOST_ROWS)
    y = np.asarray(target[::step])
    copies = []
    for column in columns:
        if column.content == "unusable":
            continue
        if _is_copy(column, y, step, is_class):
            copies.append(
                f"column '{column.name}' determines the target exactly: if it is not known when "
                f"you predict, add data.exclude=[{override_value(column.name)}]"
            )
    return copies


def _is_copy(column: TypedColumn, y: NDArray[np.generic], step: int, is_class: bool) -> bool:
    array = column.values
    if pa.types.is_dictionary(array.type):
        x = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)[::step]
        if not is_class:
            return False
    else:
        x = numbers(array)[::step]
    if is_class:
        pairs: dict[Any, Any] = {}
        for value, label in zip(x.tolist(), y.tolist(), strict=True):
            if pairs.setdefault(value, label) != label or len(pairs) > 2 * FEW_ROWS:
                return False
        return len(set(pairs.values())) == len(pairs)
    if not np.isfinite(x).all() or x.min() == x.max() or y.min() == y.max():
        return False
    scaled = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    return bool(1 - abs(float((scaled[0] * scaled[1]).mean())) < 1e-9)
