"""Sentences on predictions: worse than a constant, overfitted, or without a finite minimum."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.diagnostics.overfitting import overfitting
from gdframe.objective import Objective
from gdframe.runs.history import History

ROUNDING = 1e-6
"""An r2 that is less below 0 is that of the mean, up to rounding."""


def poor_predictions(row: Mapping[str, float], data: Dataset) -> list[str]:
    """Return a sentence for each part of the rows that a constant predicts better.

    Args:
        row: an evaluation, with metrics.
        data: its rows.
    """
    sentences = []
    parts = (("train", data.train), ("validation", data.validation))
    for part, rows in parts:
        if rows is None:
            continue
        if row.get(f"{part}/r2", 0.0) < -ROUNDING:
            sentences.append(
                f"{part} r2 {row[f'{part}/r2']:.3g} is below 0: the mean of the targets predicts "
                "better"
            )
        accuracy = row.get(f"{part}/accuracy")
        if accuracy is not None and accuracy < (share := _largest_class(rows)) - 1e-9:
            sentences.append(
                f"{part} accuracy {accuracy:.3g} is below {share:.3g}, the share of the most "
                "frequent class"
            )
    return sentences


def _largest_class(rows: Rows) -> float:
    counts = torch.bincount(rows.targets.reshape(-1).long(), rows.shares)
    return float(counts.max()) / len(rows)


def fit_sentences(history: History, parameters: Mapping[str, Tensor]) -> list[str]:
    """Return sentences on a model that overfits, or that its zero start has trapped.

    Args:
        history: measurements by epoch.
        parameters: last values by name, in the order of layers.
    """
    sentences = []
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    if len(matrices) > 1 and all(not bool(p.any()) for p in matrices):
        sentences.append(ZERO_START)
    if "validation_loss" in history.epochs:
        losses = history["validation_loss"], history["train_loss"]
        sentence = overfitting(*losses, history["epoch"])
        sentences += [sentence] if sentence else []
    return sentences


ZERO_START = (
    "all weights are zero, where the weights of a network get no gradient: use "
    "initializer=kaiming or another that draws random values"
)
"""Advice for a network that started at zero."""


def no_finite_minimum(objective: Objective) -> str:
    """Return the sentence for classes that a linear model separates."""
    has_l2 = bool(objective.penalized) and objective.penalty.curvature is not None
    remedy = "raise penalty.strength above 0" if has_l2 else "penalty=l2 makes it finite"
    return (
        "a linear model separates the classes, so the loss has no finite minimum and the weights "
        f"grow without end; {remedy}"
    )
