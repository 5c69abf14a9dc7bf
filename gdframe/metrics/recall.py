"""Recall: the share of the rows of a class that are predicted.

    recall = true positives / (true positives + false negatives)

With two classes it is that of the second class; with more, the mean over classes (macro average).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.metrics.confusion import DecisionMetric
from gdframe.registry import METRICS


@METRICS.register("recall")
class Recall(DecisionMetric):
    """Share of rows of the second class that are predicted; the mean over several classes."""

    @staticmethod
    def ratio(hits: Tensor, rows: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hits of each class, and its rows."""
        return hits, rows
