"""Checks the weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.data.frame import first_rows
from gdframe.errors import UserError, counted, override_value


def checked_weights(
    values: NDArray[Any], name: str, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return weights of rows, (rows,), divided by the largest, so that no sum is infinite.

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
    scaled: NDArray[np.float64] = weights / weights.max()
    return scaled


def override_of(column: str) -> str:
    """Return the override that names a column of weights, for messages."""
    return f"data.weights={override_value(column)}"


def weights_note(values: NDArray[Any], name: str) -> str:
    """Return a line on the weights of rows, (rows,), of which some may be zero."""
    count = int((values == 0).sum())
    left_out = f"; {counted(count, 'row')} of weight 0 left out" if count else ""
    lowest, highest = float(values[values > 0].min()), float(values.max())
    return f"{name}: rows weigh from {lowest:.6g} to {highest:.6g}{left_out}"
