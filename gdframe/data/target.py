"""The target of a table: numbers for regression, or class labels, by a rule that is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.data.reading.arrays import kind_of, numbers
from gdframe.data.reading.typed import TypedColumn
from gdframe.errors import UserError, bad_value, counted, in_words

MOST_CLASSES = 10
"""Most distinct values of consecutive whole numbers that count as class labels."""

FEW_NUMBERS = 30
"""Most distinct whole numbers of which it is told that they are read as numbers."""


@dataclass(frozen=True)
class Target:
    """The values of a target.

    Args:
        values: numbers (rows,), or class indices (rows,).
        classes: the label of each index; None for numbers.
        note: what was decided, and the key that decides otherwise; empty if it is plain.
    """

    values: NDArray[Any]
    classes: tuple[Any, ...] | None = None
    note: str = ""


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
        return _labels(column, task)
    if column.content not in ("number", "boolean", "date"):
        raise bad_value(
            f"target '{name}' is of type {kind_of(column.values)}", "numbers, true/false or text"
        )
    if column.content == "boolean" and task != "regression":
        values = numbers(column.values).astype(np.int64)
        present, indices = np.unique(values, return_inverse=True)
        return _limited(name, indices, tuple(bool(value) for value in present), "")
    values = numbers(column.values)
    if task == "regression":
        return Target(values)
    if not np.isfinite(values).all():  # told by the check of the whole data set
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
    return _limited(name, indices.astype(np.int64), labels, note)


def _labels(column: TypedColumn, task: str) -> Target:
    """Return the classes of a target of text."""
    name, array = column.name, column.values
    if task == "regression":
        example = next(iter(array.dictionary.to_pylist()), "")
        raise UserError(
            f"target '{name}' holds text, such as {example!r}: data.task=regression needs numbers"
        )
    texts = array.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    place = np.empty(len(texts), dtype=np.int64)
    place[order] = np.arange(len(texts))
    indices = place[array.indices.to_numpy(zero_copy_only=False)]
    labels: tuple[Any, ...] = tuple(texts[i] for i in order)
    if all(text.isdigit() and str(int(text)) == text for text in texts):
        whole = np.array([int(text) for text in labels], dtype=object)
        ranks = np.argsort(whole)
        back = np.empty(len(whole), dtype=np.int64)
        back[ranks] = np.arange(len(whole))
        labels, indices = tuple(int(whole[i]) for i in ranks), back[indices]
    return _limited(name, indices, labels, "")


def _limited(name: str, indices: NDArray[np.int64], labels: tuple[Any, ...], note: str) -> Target:
    if len(labels) > max(100, len(indices) // 2):
        raise UserError(
            f"target '{name}' has {len(labels)} classes in {len(indices)} rows: "
            "use data.task=regression, or another target"
        )
    return Target(indices, labels, note)


def _count_up(distinct: NDArray[Any]) -> bool:
    consecutive = distinct[0] in (0, 1) and (np.diff(distinct) == 1).all()
    return bool(consecutive and 1 < len(distinct) <= MOST_CLASSES)


def _told(name: str, distinct: NDArray[Any], is_whole: bool, rows: int) -> str:
    """Return what is told about numbers that could be labels."""
    if not is_whole or len(distinct) > FEW_NUMBERS or rows < 2 * len(distinct):
        return ""
    return (
        f"target '{name}': {counted(len(distinct), 'whole number')} read as numbers to regress on; "
        "data.task=classification for classes"
    )
