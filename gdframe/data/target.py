"""The target column of a table: numbers for regression, or class labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gdframe.data.dataset import first_rows
from gdframe.data.reader import codes, is_number, is_text, kind_of, numbers, refuse_stray_text
from gdframe.errors import UserError, bad_value, counted

MOST_CLASSES = 10
"""Most distinct values of consecutive whole numbers that count as class labels."""


def read_target(
    name: str, array: pa.Array, task: str
) -> tuple[NDArray[Any], tuple[Any, ...] | None]:
    """Return a target's values, and its classes if it holds labels.

    Args:
        name: name of the column.
        array: values of the column.
        task: ``auto``, ``regression`` or ``classification``.

    Returns:
        Numbers (rows,) and None, or class indices (rows,) and the label of each index.

    Raises:
        UserError: the values do not fit the task, or values are missing.
    """
    if array.null_count:
        bad = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
        raise UserError(
            f"target '{name}' has {counted(len(bad), 'missing value')}, first in "
            f"{first_rows(bad)}: remove those rows"
        )
    labels = is_text(array) or pa.types.is_boolean(array.type)
    if not labels and not is_number(array):
        raise bad_value(
            f"target '{name}' is of type {kind_of(array)}", "numbers, true/false or text"
        )
    if is_text(array):
        refuse_stray_text(name, array)
    if task == "regression":
        if is_text(array):
            raise UserError(f"target '{name}' holds text: data.task=regression needs numbers")
        return numbers(array), None
    if is_text(array):
        classes = sorted(pc.unique(array).to_pylist())
        indices = codes(array, classes).astype(np.int64)
    else:
        values = array.to_numpy(zero_copy_only=False)
        if pa.types.is_integer(array.type):
            if task == "auto" and not _look_like_labels(values):
                return numbers(array), None
        elif is_number(array):
            if task == "auto":
                return numbers(array), None
            whole = values.astype(np.float64)
            if not (np.isfinite(whole).all() and (whole == np.round(whole)).all()):
                raise UserError(
                    f"target '{name}' has values that are not whole numbers: class labels must be "
                    "whole numbers, true/false or text; use data.task=regression"
                )
            values = whole.astype(np.int64)
        distinct, indices = np.unique(values, return_inverse=True)
        classes = distinct.tolist()
    if len(classes) > max(100, len(array) // 2):
        raise UserError(
            f"target '{name}' has {len(classes)} classes in {len(array)} rows: "
            "use data.task=regression, or another target"
        )
    return indices, tuple(classes)


def _look_like_labels(values: NDArray[Any]) -> bool:
    distinct = np.unique(values)
    consecutive = distinct[0] in (0, 1) and (np.diff(distinct) == 1).all()
    return bool(consecutive and len(distinct) <= MOST_CLASSES)
