"""Rows with targets as a loss encodes them."""

from __future__ import annotations

from dataclasses import replace

from gdframe.data.rows import Rows
from gdframe.errors import UserError
from gdframe.losses.base import Loss, encodes_by_default
from gdframe.registry import is_built_in
from gdframe.sameness import same_values


def encoded_rows(loss: Loss, rows: Rows) -> Rows:
    """Return rows with targets as a loss encodes them.

    A user's loss is called twice, each time with a copy, to notice a different answer.

    Raises:
        UserError: it answers differently the second time.
    """
    targets, dtype, is_trusted = rows.targets, rows.features.dtype, is_built_in(loss.encode)
    first = loss.encode(targets if is_trusted else targets.clone(), dtype)
    if not is_trusted and not same_values(first, loss.encode(targets.clone(), dtype)):
        raise UserError(
            f"loss {type(loss).__name__}.encode: gives other targets when it is called again; "
            "engines call it at different times, so add noise to the data before"
        )
    return replace(rows, targets=first, values=None if encodes_by_default(loss) else targets)
