"""``summary.csv`` and ``summary.json``: a row for each run of a sweep, and what they add up to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gdframe.files import write_atomically
from gdframe.sweeps.comparison import Record

Row = dict[str, Any]


def read_records(folder: Path) -> list[Record]:
    """Return the runs in a sweep's folder, from what they left behind, in order."""
    found = [path.parent for path in folder.glob("*/.hydra") if path.is_dir()]
    records = []
    for run in sorted(found, key=_place):
        try:
            result = json.loads((run / "result.json").read_text())
        except (OSError, ValueError):
            result = None
        records.append(Record(settings(overrides_of(run)), result, str(run)))
    return records


def _place(run: Path) -> tuple[int, int, str]:
    return (0, int(run.name), "") if run.name.isdigit() else (1, 0, run.name)


def overrides_of(run: Path) -> list[str]:
    """Return the overrides a run was started with; none where its folder does not tell."""
    try:
        return [str(line) for line in yaml.safe_load((run / ".hydra/overrides.yaml").read_text())]
    except (OSError, yaml.YAMLError, TypeError):
        return []


def settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return overrides by key, but for those of the sweep itself.

    Example:
        >>> settings(["lr=0.1", "+model.width=3", "sweep.metric=objective"])
        {'lr': '0.1', 'model.width': '3'}
    """
    pairs = (text.lstrip("+~").partition("=") for text in overrides)
    return {key: value for key, _, value in pairs if not key.startswith("sweep.")}


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


def write_csv(path: Path, rows: Sequence[Row], first: Sequence[str]) -> None:
    """Write rows of different columns as one table.

    Args:
        path: of the file.
        rows: values by column.
        first: columns that come first; the folder comes last.

    Raises:
        OSError: it cannot be written.
    """
    named = (key for row in rows for key in row if key != "folder")
    columns = list(dict.fromkeys([*first, *named]))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, "folder"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


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
