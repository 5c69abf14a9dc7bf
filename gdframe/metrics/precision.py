"""Precision: the share of predictions of a class that are right.

    precision = true positives / (true positives + false positives)

With two classes it is that of the second class; with more, the mean over classes (macro average).
It is 0 if a class is never predicted.
"""

from __future__ import annotations

from torch import Tensor

from gdframe.metrics.confusion import DecisionMetric
from gdframe.registry import METRICS


@METRICS.register("precision")
class Precision(DecisionMetric):
    """Share of predictions of the second class that are right; the mean over several classes."""

    @staticmethod
    def ratio(hits: Tensor, rows: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hits of each class, and its predictions."""
        return hits, predictions
