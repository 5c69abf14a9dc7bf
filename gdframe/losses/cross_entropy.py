"""Cross-entropy: mean of -log softmax(z)[class]."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch import Tensor, nn

from gdframe.losses.base import ClassificationLoss
from gdframe.registry import LOSSES


@LOSSES.register("cross_entropy")
class CrossEntropy(ClassificationLoss):
    """The loss of softmax regression, for two or more classes, with one output for each class.

    Example:
        >>> import torch
        >>> round(CrossEntropy()(torch.zeros(1, 4), torch.tensor([2])).item(), 4)  # log 4
        1.3863
    """

    coupled: ClassVar[bool] = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of -log softmax(z)[class]."""
        return nn.functional.cross_entropy(outputs, targets)

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return -log softmax(z)[class] of each row."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    @staticmethod
    def kernel(z: Any, label: int, slope: Any) -> float:
        """Return -log softmax(z)[label]; the slopes are softmax(z), minus one at the label."""
        highest = z[0]
        for k in range(1, len(z)):
            highest = max(highest, z[k])
        total = 0.0
        for k in range(len(z)):
            share = math.exp(z[k] - highest)
            slope[k] = share
            total += share
        for k in range(len(z)):
            slope[k] /= total
        slope[label] -= 1.0
        margin: float = z[label] - highest
        return math.log(total) - margin

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the softmax of the outputs."""
        return outputs.softmax(dim=1)
