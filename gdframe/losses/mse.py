"""Mean squared error: mean of (yhat - y)^2."""

from __future__ import annotations

from torch import Tensor

from gdframe.losses.base import Loss
from gdframe.registry import LOSSES


@LOSSES.register("mse")
class MSE(Loss):
    """Mean squared error without the factor 1/2: the gradient is the mean of 2 (yhat - y) x.

    Example:
        >>> import torch
        >>> MSE()(torch.tensor([[1.0], [4.0]]), torch.tensor([[0.0], [1.0]])).item()
        5.0
    """

    is_shift_invariant = True
    degree = 2

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of (yhat - y)^2."""
        return ((outputs - targets) ** 2).mean()

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return (yhat - y)^2 of each row, the mean over outputs."""
        return ((outputs - targets) ** 2).mean(dim=1)

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Return e^2 and 2 e."""
        error = z - y
        return error * error, error + error
