"""Checks the weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.data.frame import first_rows
from gdframe.errors import UserError, counted


def checked_weights(
    values: NDArray[Any], name: str, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return weights of rows, (rows,).

    Args:
        values: (rows,).
        name: of the weights in messages.
        rows: their numbers in the data, for messages; by default from 0.

    Raises:
        UserError: one is missing, not finite or below 0, or none is above 0.
    """
    weights = values.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise UserError(
            f"{name}: {counted(len(bad), 'row')} without a weight of at least 0, first "
            f"{first_rows(bad if rows is None else rows[bad])}; correct them or remove those rows"
        )
    if not weights.any():
        raise UserError(
            f"{name}: every weight of {counted(len(weights), 'row')} is 0, which leaves none; give "
            "a weight above 0"
        )
    return weights


def weights_note(weights: NDArray[np.float64], name: str) -> str:
    """Return a line on the weights of rows, (rows,), of which some may be zero."""
    count = int((weights == 0).sum())
    left_out = f"; {counted(count, 'row')} of weight 0 left out" if count else ""
    lowest, highest = weights[weights > 0].min(), weights.max()
    return f"{name}: rows weigh from {lowest:.6g} to {highest:.6g}{left_out}"
