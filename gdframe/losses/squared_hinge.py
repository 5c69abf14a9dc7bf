"""The squared hinge loss: mean of max(0, 1 - s z)^2 with s = -1 or 1."""

from __future__ import annotations

from torch import Tensor

from gdframe.losses.base import BinaryLoss
from gdframe.registry import LOSSES


@LOSSES.register("squared_hinge")
class SquaredHinge(BinaryLoss):
    """A hinge without a kink: differentiable everywhere, harsher on large errors.

    Example:
        >>> import torch
        >>> SquaredHinge()(torch.tensor([[0.5], [2.0]]), torch.tensor([[1.0], [1.0]])).item()
        0.125
    """

    kinked = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of max(0, 1 - s z)^2."""
        return ((1 - targets * outputs).relu() ** 2).mean()

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Quadratic inside the margin; what is not a number stays so."""
        inside = 1.0 - y * z
        if inside <= 0:
            return 0.0, 0.0
        return inside * inside, -2.0 * inside * y
