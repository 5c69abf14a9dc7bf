"""Tables in which no column can be a feature, and what would bring one back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gdframe.data.list_override import list_override
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.data.unfit_columns import LeftOut, Rules, why_left_out
from gdframe.errors import in_words


def lack_of_features(
    target: TypedColumn, columns: Sequence[TypedColumn], places: Mapping[str, int], rules: Rules
) -> list[LeftOut] | None:
    """Return why no column but the target can be a feature; None if one can.

    Args:
        target: the column to predict; rows without it do not count.
        columns: of the table, the target among them.
        places: of the columns in the table, from 0, by name.
        rules: by which columns are left out.
    """
    keep = ~np.asarray(target.values.is_null(nan_is_null=True))
    left_out = list[LeftOut]()
    for column in columns:
        if column.name == target.name:
            continue
        kept = column if keep.all() else column.filtered(keep)
        reason = why_left_out(column, places[column.name], rules, kept)
        if reason is None:
            return None
        left_out.append(reason)
    return left_out


def reasons_of(left_out: Sequence[LeftOut]) -> str:
    """Return why each column is left out, as the end of a sentence."""
    return f": {in_words(f'{out.column} ({out.reason})' for out in left_out)}" * bool(left_out)


def ways_back(left_out: Sequence[LeftOut]) -> list[str]:
    """Return overrides each of which makes some of the columns features."""
    ways = ["data.text=hash"] * any(out.has_words for out in left_out)
    listed = [out.column for out in left_out if out.is_listed]
    return [*ways, list_override("data.features", *listed)] if listed else ways
