"""The hinge loss: mean of max(0, 1 - s z) with s = -1 or 1.

Source: Cortes and Vapnik, "Support-vector networks" (1995).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.losses.base import BinaryLoss
from gdframe.registry import LOSSES


@LOSSES.register("hinge")
class Hinge(BinaryLoss):
    """The linear support-vector machine's loss: zero beyond a margin of one.

    Example:
        >>> import torch
        >>> Hinge()(torch.tensor([[0.5], [2.0]]), torch.tensor([[1.0], [1.0]])).item()
        0.25
    """

    curved = False
    kinked = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of max(0, 1 - s z)."""
        return (1 - targets * outputs).relu().mean()

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Linear inside the margin; what is not a number stays so."""
        inside = 1.0 - y * z
        if inside <= 0:
            return 0.0, 0.0
        return inside, -y
