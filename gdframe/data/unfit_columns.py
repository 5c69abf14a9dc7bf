"""Columns that should not be features: row numbers, identifiers, constants, long texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gdframe.data.absent_category import is_mark
from gdframe.data.list_override import list_override
from gdframe.data.reading.arrays import is_number, missing_in, numbers
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.data.row_names import FEW_ROWS, IDENTIFIER, row_identity
from gdframe.errors import counted

SENTINELS = (-1.0, -9.0, -99.0, -200.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0)
"""Numbers that often stand for a missing value."""

MOST_NAMED = 10
"""Most columns that a message lists in ``data.features``."""

MOST_ROWS = 10_000
"""Most rows that are compared to recognise a copy of the target."""


@dataclass(frozen=True)
class Rules:
    """The rules by which columns are left out.

    Args:
        max_categories: most different texts of a feature.
        hashed: whether the words of longer texts become features.
        has_corner: whether a header names all columns but the first.
    """

    max_categories: int = 100
    hashed: bool = False
    has_corner: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A column that is no feature.

    Args:
        column: its name.
        reason: why it is left out.
        keys: overrides each of which brings it back; none if it could not teach anything.
        is_listed: whether ``data.features`` alone brings it back.
        has_words: whether it is text whose words could be features.
    """

    column: str
    reason: str
    keys: tuple[str, ...] = ()
    is_listed: bool = False
    has_words: bool = False

    def __str__(self) -> str:
        """Return a sentence."""
        return self.sentence(None)

    def sentence(self, features: Sequence[str] | None) -> str:
        """Return a sentence that names what brings the column back.

        Args:
            features: names of the columns that are features; None where they are not known.
        """
        told = f"column '{self.column}' is left out: {self.reason}"
        if self.is_listed and features is not None and len(features) < MOST_NAMED:
            listed = list_override("data.features", *features, self.column)
            return f"{told}; to keep it, set {listed}"
        if self.is_listed:
            return f"{told}; to keep it, name the columns to use in data.features, it among them"
        return told + (f"; to keep it, set {', or '.join(self.keys)}" if self.keys else "")


def why_left_out(
    column: TypedColumn, place: int, rules: Rules, kept: TypedColumn | None = None
) -> LeftOut | None:
    """Return why a column should not be a feature, or None.

    Args:
        column: all of its rows, with the type of what it holds.
        place: of the column in the table, from 0.
        rules: by which columns are left out.
        kept: the column without rows that are left out, by default ``column``.
    """
    if column.content == "unusable":
        return None
    name, kept = column.name, column if kept is None else kept
    values = kept.values
    present = len(values) - missing_in(values)
    identity = row_identity(column, place, has_corner=rules.has_corner)
    if column.content == "text":
        count = len(values.dictionary)
        if is_mark(kept):
            return None
        if count <= 1:
            return LeftOut(name, _constant(kept, present))
        if rules.hashed:
            return None
        by_name = list_override("data.categorical", name)
        if identity:
            return LeftOut(name, identity, ("data.text=hash", by_name), has_words=True)
        if present >= FEW_ROWS and count >= IDENTIFIER * present:
            places = f"in {counted(present, 'row')}"
            if present < len(values):
                places = f"in its {counted(present, 'value')}"
            return LeftOut(
                name, f"it has {count:,} different texts {places}, as names have",
                ("data.text=hash", by_name), has_words=True,
            )  # fmt: skip
        if count > rules.max_categories:
            return LeftOut(
                name, f"it has {count:,} different texts, more than data.max_categories="
                f"{rules.max_categories}", (f"data.max_categories={count}", "data.text=hash"),
                has_words=True,
            )  # fmt: skip
        return None
    array = numbers(values)
    finite = array[np.isfinite(array)]
    if present == 0 or (len(finite) == present and finite.min() == finite.max()):
        return LeftOut(name, _constant(kept, present))
    return LeftOut(name, identity, is_listed=True) if identity else None


def _constant(column: TypedColumn, present: int) -> str:
    if not present:
        return "it has no values"
    value = next(v for value in column.values if (v := value.as_py()) is not None and v == v)
    return f"its value is always {value!r}"


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
            marker = list_override("data.null_values", float(extreme))
            return (
                f"column '{column.name}': {extreme:g} in {counted(count, 'row')} lies far from the "
                f"others ({low:g} to {high:g}); {marker} if it "
                "stands for a missing value"
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
                f"you predict, add {list_override('data.exclude', column.name)}"
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
        pairs, classes = dict[Any, Any](), len(np.unique(y))
        for value, label in zip(x.tolist(), y.tolist(), strict=True):
            if pairs.setdefault(value, label) != label or len(pairs) > classes:
                return False
        return len(set(pairs.values())) == len(pairs)
    if not np.isfinite(x).all() or x.min() == x.max() or y.min() == y.max():
        return False
    scaled = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    return bool(1 - abs(float((scaled[0] * scaled[1]).mean())) < 1e-9)
