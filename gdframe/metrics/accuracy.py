"""Accuracy: the share of rows with a correctly predicted class, from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gdframe.metrics.base import SumMetric, correct
from gdframe.registry import METRICS

if TYPE_CHECKING:
    from gdframe.data.rows import Rows


@METRICS.register("accuracy")
class Accuracy(SumMetric):
    """Share of rows with a correctly predicted class."""

    task = "classification"
    maximize = True
    takes_weights = True
    sums = (correct,)

    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return the number of correct rows divided by the number of rows."""
        return sums[0] / len(rows)
