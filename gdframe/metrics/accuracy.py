"""Accuracy: the share of rows whose class is predicted rightly, from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gdframe.metrics.base import SumMetric, correct
from gdframe.registry import METRICS

if TYPE_CHECKING:
    from gdframe.data.dataset import Rows


@METRICS.register("accuracy")
class Accuracy(SumMetric):
    """Share of rows whose class is predicted rightly."""

    task = "classification"
    maximize = True
    sums = (correct,)

    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Right ones over all."""
        return sums[0] / len(rows)
