"""The labels of a target of classes, and the index of each row's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.data.reading.typed_column import TypedColumn
from gdframe.errors import UserError


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


def text_labels(column: TypedColumn, task: str) -> Target:
    """Return the classes of a target of text."""
    name, array = column.name, column.values
    if task == "regression":
        example = next(iter(array.dictionary.to_pylist()), "")
        raise UserError(
            f"target '{name}' holds text, such as {example!r}: data.task=regression needs numbers"
        )
    # a text may be of rows alone that were left out
    used, codes = np.unique(array.indices.to_numpy(zero_copy_only=False), return_inverse=True)
    texts = array.dictionary.take(used).to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    place = np.empty(len(texts), dtype=np.int64)
    place[order] = np.arange(len(texts))
    indices = place[codes]
    labels: tuple[Any, ...] = tuple(texts[i] for i in order)
    if all(text.isdigit() and str(int(text)) == text for text in texts):
        whole = np.array([int(text) for text in labels], dtype=object)
        ranks = np.argsort(whole)
        back = np.empty(len(whole), dtype=np.int64)
        back[ranks] = np.arange(len(whole))
        labels, indices = tuple(int(whole[i]) for i in ranks), back[indices]
    return limited(name, indices, labels, "")


def limited(name: str, indices: NDArray[np.int64], labels: tuple[Any, ...], note: str) -> Target:
    """Return classes, unless nearly each row has its own."""
    if len(labels) > max(100, len(indices) // 2):
        is_text = isinstance(labels[0], str)
        raise UserError(
            f"target '{name}' has {len(labels)} classes in {len(indices)} rows: "
            f"{'' if is_text else 'use data.task=regression, or '}choose another target"
        )
    return Target(indices, labels, note)
