"""Area under the precision-recall curve, as the average precision.

    AP = sum over thresholds of (recall - recall of the threshold above) * precision

Chance is the share of rows of the class. With two classes it is that of the second class; with
more, the mean over classes, each against all others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.metrics.ranking import RankingMetric, counts_by_threshold
from gdframe.registry import METRICS


@METRICS.register("pr_auc")
class PrAuc(RankingMetric):
    """Average precision; NaN if a class has no rows."""

    @staticmethod
    def of_class(scores: Tensor, is_class: Tensor, weights: Tensor | None) -> float:
        """Return the average precision of a class."""
        true, false = counts_by_threshold(scores, is_class, weights)
        gained = torch.diff(true, prepend=true.new_zeros(1)) / true[-1]
        return float((gained * true / (true + false)).sum())
