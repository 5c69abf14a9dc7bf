"""F1 score: the harmonic mean of precision and recall.

    F1 = 2 * true positives / (2 * true positives + false positives + false negatives)

With two classes it is that of the second class; with more, the mean over classes (macro average).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.metrics.confusion import DecisionMetric
from gdframe.registry import METRICS


@METRICS.register("f1")
class F1(DecisionMetric):
    """Harmonic mean of precision and recall of the second class; the mean over several classes."""

    @staticmethod
    def ratio(hits: Tensor, rows: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """Return twice the hits of each class, and its rows and predictions."""
        return 2 * hits, rows + predictions
