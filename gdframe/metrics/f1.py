"""F1 score: the harmonic mean of precision and recall.

    F1 = 2 * true positives / (2 * true positives + false positives + false negatives)

With two classes it is that of the second class; with more, the mean over classes (macro average).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.metrics.base import Metric
from gdframe.metrics.confusion import confusion_matrix, of_classes
from gdframe.registry import METRICS


@METRICS.register("f1")
class F1(Metric):
    """Harmonic mean of precision and recall of the second class; the mean over several classes."""

    task = "classification"
    maximize = True
    needs = "decisions"

    def __call__(self, predicted: Tensor, targets: Tensor) -> float:
        """Return the F1 score over all rows."""
        counts = confusion_matrix(predicted, targets)
        total = counts.sum(dim=1) + counts.sum(dim=0)
        return of_classes(2 * counts.diag(), total, total > 0)
