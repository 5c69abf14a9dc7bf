"""Balanced accuracy: the mean over classes of the share of rows that are predicted correctly.

Chance is 1 divided by the number of classes, however rare a class is.
"""

from __future__ import annotations

from torch import Tensor

from gdframe.metrics.base import Metric
from gdframe.metrics.confusion import confusion_matrix
from gdframe.registry import METRICS


@METRICS.register("balanced_accuracy")
class BalancedAccuracy(Metric):
    """Mean over classes of the share of rows that are predicted correctly."""

    task = "classification"
    maximize = True
    needs = "decisions"
    takes_weights = True

    def __call__(self, predicted: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
        """Return the mean over the classes that have rows."""
        counts = confusion_matrix(predicted, targets, weights)
        rows = counts.sum(dim=1)
        return float((counts.diag() / rows)[rows > 0].mean())
