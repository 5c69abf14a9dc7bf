"""Precision: the share of predictions of a class that are right.

    precision = true positives / (true positives + false positives)

With two classes it is that of the second class; with more, the mean over classes (macro average).
It is 0 if a class is never predicted.
"""

from __future__ import annotations

from torch import Tensor

from gdframe.metrics.base import Metric
from gdframe.metrics.confusion import confusion_matrix, of_classes
from gdframe.registry import METRICS


@METRICS.register("precision")
class Precision(Metric):
    """Share of predictions of the second class that are right; the mean over several classes."""

    task = "classification"
    maximize = True
    needs = "decisions"

    def __call__(self, predicted: Tensor, targets: Tensor) -> float:
        """Return the precision over all rows."""
        counts = confusion_matrix(predicted, targets)
        rows, predictions = counts.sum(dim=1), counts.sum(dim=0)
        return of_classes(counts.diag(), predictions, rows + predictions > 0)
