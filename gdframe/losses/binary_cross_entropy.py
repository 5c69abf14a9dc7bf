"""Binary cross-entropy on logits: mean of log(1 + exp(-s z)) with s = -1 or 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gdframe.losses.base import BinaryLoss
from gdframe.registry import LOSSES


@LOSSES.register("binary_cross_entropy")
class BinaryCrossEntropy(BinaryLoss):
    """The loss of logistic regression; the output is the log-odds of the second class.

    Example:
        >>> round(BinaryCrossEntropy()(torch.zeros(1, 1), torch.ones(1, 1)).item(), 4)  # log 2
        0.6931
    """

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of log(1 + exp(-s z))."""
        return -nn.functional.logsigmoid(targets * outputs).mean()

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return log(1 + exp(-s z)) of each row."""
        return -nn.functional.logsigmoid(targets * outputs).mean(dim=1)

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Return log(1 + exp(-s z)) and -s / (1 + exp(s z)), without overflow.

        The logarithm is log(1 + t) = 2 artanh(t / (2 + t)), or log 2 + log((1 + t) / 2) where that
        series is shorter. The error of eleven terms is less than rounding.
        """
        margin = y * z
        tail = math.exp(-abs(margin))  # (0, 1]
        large = tail > 0.41421356
        s = (tail - 1.0 if large else tail) / (tail + 3.0 if large else tail + 2.0)
        q = s * s
        series = 1.0 / 17.0 + q * (1.0 / 19.0 + q * (1.0 / 21.0))
        series = 1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0 + q * series))
        series = 1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * series))
        series = 1.0 + q * (1.0 / 3.0 + q * series)
        value = (0.6931471805599453 if large else 0.0) + 2.0 * s * series + max(-margin, 0.0)
        return value, -y * (tail if margin > 0 else 1.0) / (1.0 + tail)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return one minus the sigmoid of the output, and the sigmoid."""
        return torch.cat([torch.sigmoid(-outputs), torch.sigmoid(outputs)], dim=1)
