"""Tables on the predictions of a run: metrics by part, confusion of classes, coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gdframe.cli.report.page import Table
from gdframe.errors import UserError, counted
from gdframe.runs.coefficients_table import COEFFICIENTS, from_csv
from gdframe.runs.run_folder import RunFolder

PARTS = {"train": "training", "validation": "validation", "test": "test"}
"""Parts of the rows, and their names on a page."""

MOST_COEFFICIENTS = 100
"""Most coefficients on a page, the largest effects first."""


def prediction_tables(result: Mapping[str, Any]) -> list[Table]:
    """Return the metrics of each part beside the baseline's, and the confusion of classes."""
    metrics = {part: (result.get("metrics") or {}).get(part) or {} for part in PARTS}
    parts = [part for part in PARTS if metrics[part]]
    if not parts:
        return []
    baseline = result.get("baseline") or {}
    compared = next((part for part in reversed(parts) if baseline.get(part)), None)
    head = ["metric", *(PARTS[part] for part in parts)]
    if compared:
        head.append(f"{PARTS[compared]}, baseline: {baseline.get('name', 'a constant')}")
    rows = [
        [name, *(metrics[part].get(name) for part in parts)]
        + ([(baseline.get(compared) or {}).get(name)] if compared else [])
        for name in metrics[parts[0]]
    ]
    return [Table(head, rows, "Metrics"), *_confusion(result.get("confusion") or {})]


def _confusion(confusion: Mapping[str, Any]) -> list[Table]:
    """Return a table of true against predicted classes for each part."""
    classes, tables = confusion.get("classes") or [], []
    for part, name in PARTS.items():
        counts = confusion.get(part)
        if not counts or [*map(len, counts)] != [len(classes)] * len(classes):
            continue
        rows = [[f"true {label}", *line] for label, line in zip(classes, counts, strict=True)]
        head = ["", *(f"predicted {label}" for label in classes)]
        tables.append(Table(head, rows, f"Classes of {name} rows"))
    return tables


def coefficient_tables(run: RunFolder, notes: list[str]) -> list[Table]:
    """Return the coefficients of a linear model with the largest effects; add a note on damage."""
    if not run.file(COEFFICIENTS).is_file():
        return []
    try:
        coefficients = from_csv(run.read_text(COEFFICIENTS))
    except UserError as error:
        notes.append(f"{error}.")
        return []
    ordered = sorted(coefficients, key=lambda c: -abs(c.standardized))
    shown = ordered[:MOST_COEFFICIENTS]
    has_outputs = any(c.output for c in shown)
    rows = [[*([c.output] * has_outputs), c.feature, c.value, c.standardized] for c in shown]
    head = [*(["output"] * has_outputs), "feature", "in units of the data", "standardised"]
    hidden = len(ordered) - len(shown)
    note = f"{counted(hidden, 'more coefficient')} in {COEFFICIENTS}." if hidden else ""
    return [Table(head, rows, "Coefficients, largest effects first", note)] if rows else []
