"""The rows of ``summary.csv`` and ``summary.json``, one for each run of a sweep."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from gdframe.errors import without_controls
from gdframe.runs.spreadsheet import cell
from gdframe.stopping import Status

Row = dict[str, Any]

NOT_SHOWN = ("data", "baseline", "confusion")
"""Fields of a result that are no columns."""


def row(result: Mapping[str, Any] | None, settings: Mapping[str, str], folder: str) -> Row:
    """Return the row of a run: its overrides, its flattened result, and its folder.

    The facts about the data, the baseline and the confusion of classes stay in ``result.json``. A
    run that diverged has no validation loss and no metrics, which it would be compared by. Fields
    of the result replace overrides of the same name, such as ``epochs`` or ``engine``.

    Args:
        result: content of ``result.json``; None if the run has not ended.
        settings: overrides by key.
        folder: the run folder.
    """
    measured = {name: v for name, v in (result or {}).items() if name not in NOT_SHOWN}
    fields = flatten(measured or {"status": "", "reason": "no result was written"})
    if fields["status"] == Status.DIVERGED:  # these are of the last finite parameters
        compared = ("validation_loss", "test_loss", "metrics.")
        fields = {name: None if name.startswith(compared) else v for name, v in fields.items()}
    return {**settings, **fields, "folder": folder}


def csv_text(rows: Sequence[Row], first: Sequence[str]) -> str:
    """Return rows with different columns as one CSV table.

    Args:
        rows: values by column.
        first: the first columns; the folder is the last.
    """
    named = (key for row in rows for key in row if key != "folder")
    columns = list(dict.fromkeys([*first, *named]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in (
        [*columns, "folder"],
        *([row.get(c, "") for c in [*columns, "folder"]] for row in rows),
    ):
        writer.writerow(map(cell, line))
    return without_controls(text.getvalue())


def flatten(value: Mapping[str, Any], prefix: str = "") -> Row:
    """Return nested mappings as one mapping with dotted keys.

    Example:
        >>> flatten({"metrics": {"train": {"r2": 0.5}}, "steps": 3})
        {'metrics.train.r2': 0.5, 'steps': 3}
    """
    flat: Row = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{name}.")
        else:
            flat[name] = item
    return flat
