"""Scores of classes against all others, for metrics that rank rows."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from gdframe.metrics.base import Metric


class RankingMetric(Metric):
    """Base class of metrics of one class against all others, by the rank of the rows.

    The metric is that of the second of two classes, or the mean over more classes.
    """

    task = "classification"
    maximize = True
    needs = "scores"

    @staticmethod
    @abstractmethod
    def of_class(scores: Tensor, is_class: Tensor) -> float:
        """Return the metric of a class.

        Args:
            scores: (rows,).
            is_class: whether each row is of the class (rows,); it is for some rows, not for all.
        """

    def __call__(self, predicted: Tensor, targets: Tensor) -> float:
        """Return the metric over all rows; NaN if a class has no rows, or all rows.

        Args:
            predicted: outputs of the model, (rows, 1) for two classes or (rows, classes). With more
                than two classes, rows are ranked by the softmax of their outputs.
            targets: class indices (rows,).
        """
        scores = predicted.double()
        if scores.shape[1] <= 2:
            margin = scores[:, -1] - scores[:, 0] if scores.shape[1] == 2 else scores[:, 0]
            ranked = [(margin, targets == 1)]
        else:
            shares = scores.softmax(dim=1)
            ranked = [(shares[:, k], targets == k) for k in range(shares.shape[1])]
        if any(is_class.all() or not is_class.any() for _, is_class in ranked):
            return math.nan
        return sum(self.of_class(score, is_class) for score, is_class in ranked) / len(ranked)


def counts_by_threshold(scores: Tensor, is_class: Tensor) -> tuple[Tensor, Tensor]:
    """Return the true and false positives at each threshold, from the highest score down.

    Rows with equal scores share a threshold.
    """
    order = scores.argsort(descending=True)
    ordered, hits = scores[order], is_class[order].double()
    is_last = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    true = hits.cumsum(dim=0)[is_last]
    total = torch.arange(1, len(scores) + 1, device=scores.device)[is_last].double()
    return true, total - true
