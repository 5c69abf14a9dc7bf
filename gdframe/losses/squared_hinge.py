"""The squared hinge loss: mean of max(0, 1 - s z)^2 with s = -1 or 1."""

from __future__ import annotations

from torch import Tensor

from gdframe.losses.base import BinaryLoss
from gdframe.registry import LOSSES


@LOSSES.register("squared_hinge")
class SquaredHinge(BinaryLoss):
    """The square of the hinge loss: differentiable everywhere, larger for large errors.

    Example:
        >>> import torch
        >>> SquaredHinge()(torch.tensor([[0.5], [2.0]]), torch.tensor([[1.0], [1.0]])).item()
        0.125
    """

    kinked = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of max(0, 1 - s z)^2."""
        return ((1 - targets * outputs).relu() ** 2).mean()

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, the mean over outputs."""
        return ((1 - targets * outputs).relu() ** 2).mean(dim=1)

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Return a value that is quadratic inside the margin, and its slope; NaN stays NaN."""
        inside = 1.0 - y * z
        if inside <= 0:
            return 0.0, 0.0
        return inside * inside, -2.0 * inside * y
