"""The confusion matrix, and what metrics of decisions compute from it."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from gdframe.metrics.base import Metric


def confusion_matrix(decisions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the number of rows of each class (down) that each class was predicted for (across).

    Args:
        decisions: predicted classes as one-hot rows (rows, classes).
        targets: class indices (rows,).
        weights: (rows,) summed in place of counts.

    Returns:
        Counts (classes, classes) in float64.

    Example:
        >>> confusion_matrix(torch.eye(2)[[0, 1, 1]], torch.tensor([0, 0, 1])).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    classes = decisions.shape[1]
    cells = targets * classes + decisions.to(torch.uint8).argmax(dim=1)
    return torch.bincount(cells, weights, minlength=classes**2).view(classes, classes).double()


class DecisionMetric(Metric):
    """Base class of metrics that are a ratio of counts for each class.

    The metric is the ratio of the second of two classes, or the mean over more classes. A ratio
    without rows counts as 0. Classes that have no rows and no predictions are left out.
    """

    task = "classification"
    maximize = True
    needs = "decisions"
    takes_weights = True

    @staticmethod
    @abstractmethod
    def ratio(hits: Tensor, rows: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numerator and the denominator of the ratio of each class, (classes,).

        Args:
            hits: rows of each class that are predicted correctly (classes,).
            rows: rows of each class (classes,).
            predictions: rows that each class is predicted for (classes,).
        """

    def __call__(self, predicted: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
        """Return the metric over all rows."""
        counts = confusion_matrix(predicted, targets, weights)
        rows, predictions = counts.sum(dim=1), counts.sum(dim=0)
        hits, totals = self.ratio(counts.diag(), rows, predictions)
        ratios = torch.where(totals > 0, hits / torch.where(totals > 0, totals, 1.0), 0.0)
        if len(ratios) == 2:
            return float(ratios[1])
        is_present = rows + predictions > 0
        return float(ratios[is_present].mean()) if is_present.any() else math.nan
