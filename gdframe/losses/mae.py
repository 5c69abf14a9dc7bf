"""Mean absolute error: mean of |yhat - y|."""

from __future__ import annotations

import math

from torch import Tensor

from gdframe.losses.base import Loss
from gdframe.registry import LOSSES


@LOSSES.register("mae")
class MAE(Loss):
    """Mean absolute error; its minimiser is the median, and its slope at zero is zero.

    Example:
        >>> import torch
        >>> MAE()(torch.tensor([[1.0], [4.0]]), torch.tensor([[0.0], [1.0]])).item()
        2.0
    """

    curved = False
    kinked = True
    is_shift_invariant = True
    degree = 1

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of |yhat - y|."""
        return (outputs - targets).abs().mean()

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, the mean over outputs."""
        return (outputs - targets).abs().mean(dim=1)

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Return |e| and the sign of e, which is zero at zero."""
        error = z - y
        return abs(error), math.copysign(1.0, error) if error != 0 else 0.0
