"""Ridge: strength * sum(w^2), without the factor 1/2."""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.penalties.base import Penalty
from gdframe.registry import PENALTIES


@PENALTIES.register("l2")
class L2(Penalty):
    """A penalty that pulls weights towards zero by the gradient 2 * strength * w.

    Source: Hoerl and Kennard, "Ridge regression" (1970).

    Args:
        strength: factor of the sum of squares, at least 0.
        biases: whether biases are penalised too.

    Example:
        >>> L2(strength=0.5).value([torch.tensor([1.0, 2.0])]).item()
        2.5
    """

    def __init__(self, *, strength: float = 0.01, biases: bool = False) -> None:
        super().__init__(strength=strength, biases=biases)

    def value(self, weights: list[Tensor]) -> Tensor | float:
        """Return strength * sum(w^2)."""
        return self.strength * sum(torch.sum(w * w) for w in weights)

    @property
    def curvature(self) -> float:
        """The strength."""
        return self.strength

    @staticmethod
    def kernel(w: float, strength: float) -> tuple[float, float]:
        """Return strength * w^2 and 2 * strength * w."""
        return strength * w * w, (strength + strength) * w
