"""``summary.csv``: one row for each run of a sweep, with its overrides and its result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gdframe.files import write_atomically


def write_summary(folder: Path) -> int:
    """Write ``summary.csv`` from what the runs in a sweep's folder left behind.

    A run without a readable result appears with its overrides and an empty status.

    Returns:
        How many runs there are.
    """
    numbered = [path for path in folder.iterdir() if path.is_dir() and path.name.isdigit()]
    rows = [_row(run) for run in sorted(numbered, key=lambda path: int(path.name))]
    if not rows:
        return 0
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # what varies comes first, then the results, then the folder
    columns.sort(
        key=lambda name: (name == "folder", not any(name in _overrides(r) for r in numbered))
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "summary.csv", text.getvalue())
    return len(rows)


def _row(run: Path) -> dict[str, Any]:
    try:
        result = json.loads((run / "result.json").read_text())
    except (OSError, ValueError):
        result = {"status": "", "reason": "no result was written"}
    return {**flatten(result), **_overrides(run), "folder": str(run)}


def _overrides(run: Path) -> dict[str, str]:
    try:
        lines = yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text()) or []
    except (OSError, yaml.YAMLError):
        return {}
    pairs = (line.lstrip("+~").partition("=") for line in lines)
    return {key: value for key, _, value in pairs}


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots.

    Example:
        >>> flatten({"metrics": {"train": {"r2": 0.5}}, "steps": 3})
        {'metrics.train.r2': 0.5, 'steps': 3}
    """
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{name}.")
        else:
            flat[name] = item
    return flat
