"""Area under the ROC curve.

It is the probability that a row of the class scores above a row of another class; ties count one
half. Chance is 0.5. With two classes it is that of the second class; with more, the mean over
classes, each against all others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.metrics.ranking import RankingMetric, counts_by_threshold
from gdframe.registry import METRICS


@METRICS.register("roc_auc")
class RocAuc(RankingMetric):
    """Area under the ROC curve; NaN if a class has no rows."""

    @staticmethod
    def of_class(scores: Tensor, is_class: Tensor, weights: Tensor | None) -> float:
        """Return the area of a class."""
        true, false = counts_by_threshold(scores, is_class, weights)
        zero = true.new_zeros(1)
        heights, widths = torch.cat([zero, true]), torch.cat([zero, false])
        return float(torch.trapezoid(heights, widths) / (true[-1] * false[-1]))
