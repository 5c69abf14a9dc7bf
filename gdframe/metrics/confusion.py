"""The confusion matrix, and what metrics of decisions compute from it."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def confusion_matrix(decisions: Tensor, targets: Tensor) -> Tensor:
    """Return the number of rows of each class (down) that each class was predicted for (across).

    Args:
        decisions: predicted classes as one-hot rows (rows, classes).
        targets: class indices (rows,).

    Returns:
        Counts (classes, classes) in float64.

    Example:
        >>> confusion_matrix(torch.eye(2)[[0, 1, 1]], torch.tensor([0, 0, 1])).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    classes = decisions.shape[1]
    cells = targets * classes + decisions.to(torch.uint8).argmax(dim=1)
    return torch.bincount(cells, minlength=classes**2).view(classes, classes).double()


def of_classes(hits: Tensor, totals: Tensor, is_present: Tensor) -> float:
    """Return the ratio ``hits / totals`` of the second of two classes, or the mean over more.

    A ratio without rows counts as 0. Classes that have no rows and no predictions are left out.

    Args:
        hits: (classes,).
        totals: (classes,).
        is_present: (classes,) whether a class counts for the mean.
    """
    ratios = torch.where(totals > 0, hits / totals.clamp(min=1), 0.0)
    if len(ratios) == 2:
        return float(ratios[1])
    return float(ratios[is_present].mean()) if is_present.any() else math.nan
