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
    takes_weights = True

    @staticmethod
    @abstractmethod
    def of_class(scores: Tensor, is_class: Tensor, weights: Tensor | None) -> float:
        """Return the metric of a class.

        Args:
            scores: (rows,).
            is_class: whether each row is of the class (rows,); it is for some rows, not for all.
            weights: (rows,) or None.
        """

    def __call__(self, predicted: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
        """Return the metric over all rows; NaN if a class has no rows, or all rows.

        Args:
            predicted: outputs of the model, (rows, 1) for two classes or (rows, classes). With more
                than two classes, rows are ranked by the softmax of their outputs.
            targets: class indices (rows,).
            weights: (rows,) or None.
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
        return sum(self.of_class(*pair, weights) for pair in ranked) / len(ranked)


def counts_by_threshold(
    scores: Tensor, is_class: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the true and false positives at each threshold, from the highest score down.

    Rows with equal scores share a threshold. With weights (rows,) these are summed, not counted.
    """
    order = scores.argsort(descending=True)
    ordered, hits = scores[order], is_class[order].double()
    sizes = torch.ones_like(hits) if weights is None else weights[order].double()
    is_last = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    true = (hits * sizes).cumsum(dim=0)[is_last]
    return true, ((1 - hits) * sizes).cumsum(dim=0)[is_last]
