"""Binary cross-entropy on logits: mean of log(1 + exp(-s z)) with s = -1 or 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gdframe.losses.base import BinaryLoss
from gdframe.registry import LOSSES


@LOSSES.register("binary_cross_entropy")
class BinaryCrossEntropy(BinaryLoss):
    """Logistic regression's loss: the output is the log-odds of the second class.

    Example:
        >>> round(BinaryCrossEntropy()(torch.zeros(1, 1), torch.ones(1, 1)).item(), 4)  # log 2
        0.6931
    """

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of log(1 + exp(-s z))."""
        return -nn.functional.logsigmoid(targets * outputs).mean()

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """log(1 + exp(-s z)) and -s / (1 + exp(s z)), without overflow."""
        margin = y * z
        tail = math.exp(-abs(margin))  # (0, 1]
        value = math.log1p(tail) + max(-margin, 0.0)
        return value, -y * (tail if margin > 0 else 1.0) / (1.0 + tail)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """The sigmoid of the output, and what is left of one."""
        return torch.cat([torch.sigmoid(-outputs), torch.sigmoid(outputs)], dim=1)
