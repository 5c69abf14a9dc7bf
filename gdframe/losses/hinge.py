"""The hinge loss: mean of max(0, 1 - s z) with s = -1 or 1.

Source: Cortes and Vapnik, "Support-vector networks" (1995).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.losses.base import BinaryLoss
from gdframe.registry import LOSSES


@LOSSES.register("hinge")
class Hinge(BinaryLoss):
    """The loss of the linear support-vector machine: zero beyond a margin of one.

    Example:
        >>> import torch
        >>> Hinge()(torch.tensor([[0.5], [2.0]]), torch.tensor([[1.0], [1.0]])).item()
        0.25
    """

    curved = False
    kinked = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of max(0, 1 - s z)."""
        return (1 - targets * outputs).relu().mean()

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, the mean over outputs."""
        return (1 - targets * outputs).relu().mean(dim=1)

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Return a value that is linear inside the margin, and its slope; NaN stays NaN."""
        inside = 1.0 - y * z
        if inside <= 0:
            return 0.0, 0.0
        return inside, -y
