"""``summary.csv`` and ``summary.json``: a row for each run of a sweep, and what they add up to."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def row(result: Mapping[str, Any] | None, chosen: Mapping[str, str], folder: str) -> Row:
    """Return what a summary says of a run: its overrides, its result flattened, its folder.

    Where both have a column, such as ``epochs`` or ``engine``, it says what the run came to.

    Args:
        result: what ``result.json`` holds; None if the run did not end.
        chosen: its overrides by key.
        folder: the run's.
    """
    ended = flatten(result or {"status": "", "reason": "no result was written"})
    return {**chosen, **ended, "folder": folder}


def csv_text(rows: Sequence[Row], first: Sequence[str]) -> str:
    """Return rows of different columns as one table in CSV.

    Args:
        rows: values by column.
        first: columns that come first; the folder comes last.
    """
    named = (key for row in rows for key in row if key != "folder")
    columns = list(dict.fromkeys([*first, *named]))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, "folder"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flatten(value: Mapping[str, Any], prefix: str = "") -> Row:
    """Return nested mappings as one, keys joined by dots.

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
