"""The split into training and validation rows, by a seed and stratified by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdframe.errors import InputError, bad_value, counted
from gdframe.randomness import Purpose, generator


def split_rows(
    classes: NDArray[Any] | None, rows: int, *, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the training and the validation rows, each in ascending order.

    With ``classes``, each class contributes its share of the validation rows, rounded by the
    largest remainders. Every class keeps at least one training row.

    Args:
        classes: (rows,) class indices, or None for a plain split.
        rows: how many there are.
        share: of the rows that validate, in [0, 1).
        seed: of the choice.

    Raises:
        UserError: the share is out of range or leaves no row to train or to validate.
    """
    if not 0 <= share < 1:
        raise bad_value(f"validation={share:g}", "a number of at least 0 and below 1")
    if share == 0:
        return np.arange(rows), np.empty(0, dtype=np.int64)
    count = round(share * rows)
    if count == 0 or count == rows:
        change = "larger" if count == 0 else "smaller"
        example = ", such as 0.2" if rows > 2 else ""
        other = f"a {change} share{example}, or " if rows > 1 else ""
        raise InputError(
            f"validation={share:g}",
            f"leaves none of {counted(rows, 'row')} to {'validate' if count == 0 else 'train'}; "
            f"use {other}0 for no validation",
        )
    shuffled = torch.randperm(rows, generator=generator(seed, Purpose.SPLIT)).numpy()
    if classes is None:
        validation = shuffled[:count]
    else:
        labels = classes[shuffled]
        rows_by_class = [shuffled[labels == label] for label in np.unique(classes)]
        exact = np.array([len(m) * count / rows for m in rows_by_class])
        quota = np.floor(exact).astype(int)
        for index in np.argsort(quota - exact, kind="stable")[: count - quota.sum()]:
            quota[index] += 1
        quota = np.minimum(quota, [len(m) - 1 for m in rows_by_class])
        validation = np.concatenate([m[:q] for m, q in zip(rows_by_class, quota, strict=True)])
    mask = np.zeros(rows, dtype=bool)
    mask[validation] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
