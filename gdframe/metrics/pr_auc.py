"""Area under the precision-recall curve, as the average precision.

    AP = sum over thresholds of (recall - recall of the threshold above) * precision

Chance is the share of rows of the class. With two classes it is that of the second class; with
more, the mean over classes, each against all others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.metrics.base import Metric
from gdframe.metrics.ranking import counts_by_threshold, one_against_rest
from gdframe.registry import METRICS


@METRICS.register("pr_auc")
class PrAuc(Metric):
    """Average precision; NaN if a class has no rows."""

    task = "classification"
    maximize = True
    needs = "scores"

    def __call__(self, predicted: Tensor, targets: Tensor) -> float:
        """Return the average precision over all rows."""
        return one_against_rest(_average_precision, predicted, targets)


def _average_precision(scores: Tensor, is_class: Tensor) -> float:
    true, false = counts_by_threshold(scores, is_class)
    gained = torch.diff(true, prepend=true.new_zeros(1)) / true[-1]
    return float((gained * true / (true + false)).sum())
