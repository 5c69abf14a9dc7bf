"""The figures of the page of a run: each answers a question, and has one scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gdframe.cli.report.page import Figure
from gdframe.cli.report.page_curves import by_epoch, by_step, curve_texts, points
from gdframe.runs.recorded_history import RecordedHistory
from gdframe.sweeps.comparing.sweep_metric import goes_up

MOST_PARAMETERS = 8
"""Most parameters in a figure of gradient norms."""

PREFERRED = ("accuracy", "r2")
"""Metrics to show first."""

GAP = "theory/gap"
"""The column of the objective minus its minimum."""


def figures_of(
    history: RecordedHistory, result: Mapping[str, Any] | None, minimum: float | None
) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Return the figures of a run, without those that mean nothing for it, and their curves.

    Args:
        history: of the run.
        result: content of ``result.json``, if any.
        minimum: of the objective, if it is known.
    """
    columns = history.epochs
    if "objective" not in columns:
        return [], []
    add_gap(history, minimum)
    steps = by_step(history, points(1)) if has_batches(history, result) else None
    by_batch = (
        {} if steps is None else {name: np.asarray(y, float) for name, y in steps["y"].items()}
    )
    figures, drawn = [], []
    for title, names in _questions(columns, list(by_batch)).items():
        measured = {
            name: columns.get(name, by_batch.get(name, np.zeros(0)))
            for name in names
            if name in columns or name in by_batch
        }
        measured = {n: values for n, values in measured.items() if np.isfinite(values).any()}
        if measured:
            figure = Figure(title, list(measured), True, curve_texts(measured))
            figure.linear = linear_columns(figure.measures, result)
            figure.reference = _reference(title, history)
            figures.append(figure)
            drawn += [name for name in measured if name in columns and name not in drawn]
    curves = [{"name": "", "group": 0, **by_epoch(history, drawn, points(1))}]
    if steps is not None:
        curves.append({"name": "", "group": 0, **steps})
    return figures, curves


def _questions(columns: Mapping[str, Any], by_batch: list[str]) -> dict[str, list[str]]:
    """Return the columns that answer each question; all columns of a question have one scale."""
    losses = ["objective", "train_loss", "validation_loss"]
    if "train_loss" in columns and np.array_equal(columns["train_loss"], columns["objective"]):
        losses.remove("train_loss")
    norms = [name for name in columns if name.startswith("gradient_norm/")][:MOST_PARAMETERS]
    ratios = [name for name in columns if name.startswith("update_ratio/")][:MOST_PARAMETERS]
    scores = [name for name in columns if name.partition("/")[0] in ("train", "validation")]
    metrics = [name.partition("/")[2] for name in scores]
    first = next((name for name in (*PREFERRED, *metrics) if name in metrics), "")
    has_parts = len(norms) > 1
    return {
        "Is it descending?": losses,
        "And step by step?": [name for name in by_batch if name == "loss/step"],
        "How far from the minimum?": [GAP],
        "Is it stable?": ["curvature/lr_times_lambda_max"],
        "Is it generalising?": [name for name in scores if name.partition("/")[2] == first],
        "How large is the gradient?": [
            "gradient_norm",
            *(norms if has_parts else []),
            *(name for name in by_batch if name == "gradient_norm/step"),
        ],
        "Which parameter moves?": ratios if has_parts else [],
        "Which learning rate?": ["lr"] if len(np.unique(columns.get("lr", [0]))) > 1 else [],
    }


def has_batches(history: RecordedHistory, result: Mapping[str, Any] | None) -> bool:
    """Return whether a step sees a part of the rows, so that an epoch has several steps."""
    fields = result or {}
    if "steps" in fields and "epochs" in fields:
        return bool(fields["steps"] > fields["epochs"])
    epochs = history.epochs
    if "step" in epochs and len(epochs["step"]) > 1:
        return bool(epochs["step"][-1] > epochs["epoch"][-1])
    return True


def add_gap(history: RecordedHistory, minimum: float | None) -> bool:
    """Add the column of the gap to the known minimum; return whether the history has it.

    An objective whose minimum is 0 is its own gap.
    """
    objective = history.epochs.get("objective")
    if minimum is not None and minimum != 0 and objective is not None:
        history.epochs.setdefault(GAP, objective - minimum)
    return GAP in history.epochs


def linear_columns(names: list[str], result: Mapping[str, Any] | None) -> list[str]:
    """Return the columns of scores, such as r2 and accuracy: their axes are linear."""
    return [
        name
        for name in names
        if name.partition("/")[0] in ("train", "validation")
        and goes_up("metrics." + name.replace("/", "."), [result])
    ]


def _reference(title: str, history: RecordedHistory) -> tuple[float, str] | None:
    limit = history.epochs.get("curvature/stability_limit", np.zeros(0))
    if title == "Is it stable?" and len(limit) and np.isfinite(limit[-1]):
        return float(limit[-1]), "stability limit of the update rule"
    return None
