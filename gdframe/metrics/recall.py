"""Recall: the share of the rows of a class that are predicted.

    recall = true positives / (true positives + false negatives)

With two classes it is that of the second class; with more, the mean over classes (macro average).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.metrics.base import Metric
from gdframe.metrics.confusion import confusion_matrix, of_classes
from gdframe.registry import METRICS


@METRICS.register("recall")
class Recall(Metric):
    """Share of rows of the second class that are predicted; the mean over several classes."""

    task = "classification"
    maximize = True
    needs = "decisions"

    def __call__(self, predicted: Tensor, targets: Tensor) -> float:
        """Return the recall over all rows."""
        counts = confusion_matrix(predicted, targets)
        rows, predictions = counts.sum(dim=1), counts.sum(dim=0)
        return of_classes(counts.diag(), rows, rows + predictions > 0)
