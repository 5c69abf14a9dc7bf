"""What a table's target column is: numbers to regress on, or class labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gdframe.data.dataset import first_rows
from gdframe.data.reader import is_number, is_text, numbers, refuse_stray_text
from gdframe.errors import UserError

MOST_CLASSES = 10
"""Consecutive whole numbers up to this many distinct values read as class labels."""


def read_target(
    name: str, array: pa.Array, task: str
) -> tuple[NDArray[Any], tuple[Any, ...] | None]:
    """Return a target's values, and its classes if it holds labels.

    Args:
        name: its column.
        array: its values.
        task: ``auto``, ``regression`` or ``classification``.

    Returns:
        (rows,) numbers and None, or (rows,) class indices and the classes they stand for.

    Raises:
        UserError: the values do not fit the task, or some are missing.
    """
    if array.null_count:
        bad = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
        raise UserError(
            f"target '{name}' has {len(bad)} missing values, first in "
            f"{first_rows(bad)}: remove those rows"
        )
    labels = is_text(array) or pa.types.is_boolean(array.type)
    if not labels and not is_number(array):
        raise UserError(
            f"target '{name}' is of type {array.type}: expected numbers, true/false or text"
        )
    if is_text(array):
        refuse_stray_text(name, array)
    if task == "regression":
        if is_text(array):
            raise UserError(f"target '{name}' holds text: data.task=regression needs numbers")
        return numbers(array), None
    found = array.to_numpy(zero_copy_only=False)
    countable = pa.types.is_integer(array.type) and _look_like_labels(found)
    if task == "auto" and not labels and not countable:
        return numbers(array), None
    if is_number(array) and not pa.types.is_integer(array.type):
        whole = found.astype(np.float64)
        if not (np.isfinite(whole).all() and (whole == np.round(whole)).all()):
            raise UserError(
                f"target '{name}' has values that are no whole numbers: class labels "
                "are whole numbers, true/false or text; use data.task=regression"
            )
        found = whole.astype(np.int64)
    classes, indices = np.unique(
        found.astype(str) if is_text(array) else found, return_inverse=True
    )
    if len(classes) > max(100, len(found) // 2):
        raise UserError(
            f"target '{name}' has {len(classes)} classes in {len(found)} rows: "
            "use data.task=regression, or another target"
        )
    return indices, tuple(classes.tolist())


def _look_like_labels(values: NDArray[Any]) -> bool:
    distinct = np.unique(values)
    consecutive = distinct[0] in (0, 1) and (np.diff(distinct) == 1).all()
    return bool(consecutive and len(distinct) <= MOST_CLASSES)
