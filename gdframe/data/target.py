"""The target of a table: numbers for regression, or class labels, by a rule that the notes name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.data.class_labels import Target, limited, text_labels
from gdframe.data.reading.arrays import kind_of, numbers
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.errors import UserError, bad_value, counted, in_words

MOST_CLASSES = 10
"""Most distinct values of consecutive whole numbers that count as class labels."""

FEW_NUMBERS = 30
"""Most distinct whole numbers that a note says are read as numbers."""


def read_target(column: TypedColumn, task: str) -> Target:
    """Return a target's values, and its classes if it holds labels.

    Text and true/false are labels. So are two different numbers, and at most ``MOST_CLASSES``
    whole numbers that count up from 0 or 1. Other numbers are numbers.

    Args:
        column: without missing values.
        task: ``auto``, ``regression`` or ``classification``.

    Raises:
        UserError: the values do not fit the task.
    """
    name = column.name
    if column.content == "text":
        return text_labels(column, task)
    if column.content not in ("number", "boolean", "date"):
        raise bad_value(
            f"target '{name}' is of type {kind_of(column.values)}", "numbers, true/false or text"
        )
    if column.content == "boolean" and task != "regression":
        values = numbers(column.values).astype(np.int64)
        present, indices = np.unique(values, return_inverse=True)
        return limited(name, indices, tuple(bool(value) for value in present), "")
    values = numbers(column.values)
    if task == "regression":
        return Target(values)
    if not np.isfinite(values).all():  # the check of the whole data set reports it
        return Target(values)
    distinct = np.unique(values)
    is_whole = bool((distinct == np.round(distinct)).all())
    if task == "auto":
        is_two = len(distinct) == 2 < len(values)
        if not is_two and not (is_whole and _count_up(distinct)):
            return Target(values, note=_told(name, distinct, is_whole, len(values)))
    elif not is_whole and len(distinct) > 2:
        raise UserError(
            f"target '{name}' has values that are not whole numbers: class labels must be "
            "whole numbers, true/false or text; use data.task=regression"
        )
    labels = tuple(int(label) if is_whole else float(label) for label in distinct)
    note = ""
    if task == "auto" and len(distinct) > 1:
        shown = in_words(f"{label:g}" for label in distinct)
        note = f"target '{name}': {shown} read as classes; data.task=regression for numbers"
    indices = np.searchsorted(distinct, values)
    return limited(name, indices.astype(np.int64), labels, note)


def _count_up(distinct: NDArray[Any]) -> bool:
    is_few = 1 < len(distinct) <= MOST_CLASSES
    return bool(is_few and distinct[0] in (0, 1) and (np.diff(distinct) == 1).all())


def _told(name: str, distinct: NDArray[Any], is_whole: bool, rows: int) -> str:
    """Return the note on numbers that could be labels."""
    if not is_whole or len(distinct) > FEW_NUMBERS or rows < 2 * len(distinct):
        return ""
    return (
        f"target '{name}': {counted(len(distinct), 'whole number')} read as numbers to regress on; "
        "data.task=classification for classes"
    )
