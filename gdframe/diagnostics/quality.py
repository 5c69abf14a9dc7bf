"""Sentences on predictions: worse than a constant, overfitted, or without a finite minimum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows
from gdframe.objective import Objective
from gdframe.runs.history import History

RISEN = 0.02
"""Rise of the validation loss above its lowest value that counts as overfitting, relative."""


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
        if row.get(f"{part}/r2", 0.0) < 0:
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
    counts = torch.bincount(rows.targets.reshape(-1).long())
    return float(counts.max()) / len(rows)


def fit_sentences(history: History, parameters: Mapping[str, Tensor]) -> list[str]:
    """Return sentences on a model that overfits, or that its zero start has trapped.

    Args:
        history: measurements by epoch.
        parameters: last values by name, in the order of layers.
    """
    sentences = []
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    if len(matrices) > 1 and any(not bool(p.any()) for p in matrices):
        sentences.append(ZERO_START)
    if "validation_loss" in history.epochs:
        sentence = overfitting(history["validation_loss"], history["train_loss"])
        sentences += [sentence] if sentence else []
    return sentences


def overfitting(validation: NDArray[np.float64], training: NDArray[np.float64]) -> str | None:
    """Return a sentence if the validation loss has risen while the training loss fell.

    Args:
        validation: loss over validation rows by epoch, from the start.
        training: loss over training rows by epoch.
    """
    if len(validation) < 10 or not np.isfinite(validation).all():
        return None
    best = int(validation.argmin())
    later = validation[best:]
    if len(later) < 6:
        return None
    lowest, third = float(validation[best]), len(later) // 3
    middle, end = float(later[third:-third].mean()), float(later[-third:].mean())
    wobble = float(np.abs(np.diff(later)).mean())
    is_rising = end - lowest > max(RISEN * abs(lowest), 4 * wobble) and end > middle
    if not is_rising or training[-third:].mean() >= training[best]:
        return None
    since = "the start" if best == 0 else f"epoch {best:,}"
    return (
        f"the validation loss has risen since {since}, from {lowest:.4g} to {validation[-1]:.4g}, "
        "while the training loss fell: the model overfits; stopping=early keeps the best epoch"
    )


ZERO_START = (
    "a layer has only zero weights, so the layers before it get no gradient and training cannot "
    "leave this point: use initializer=kaiming or another that draws random values"
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
