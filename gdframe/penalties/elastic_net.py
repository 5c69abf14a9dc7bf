"""Elastic net: strength * (ratio * sum(|w|) + (1 - ratio) * sum(w^2))."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdframe.errors import bad_value
from gdframe.penalties.base import Penalty, absolute
from gdframe.registry import PENALTIES


@PENALTIES.register("elastic_net")
class ElasticNet(Penalty):
    """A weighted sum of l1 and l2.

    Source: Zou and Hastie, "Regularization and variable selection via the elastic net" (2005).

    Args:
        strength: factor of the weighted sum, at least 0.
        ratio: share of l1, in [0, 1].
        biases: whether biases are penalised too.

    Example:
        >>> ElasticNet(strength=1.0, ratio=0.5).value([torch.tensor([1.0, -2.0])]).item()
        4.0
    """

    kinked = True

    def __init__(self, *, strength: float = 0.01, ratio: float = 0.5, biases: bool = False) -> None:
        super().__init__(strength=strength, biases=biases)
        if not 0 <= ratio <= 1:
            raise bad_value(f"ratio={ratio:g}", "a number in [0, 1]")
        self.ratio = ratio

    def value(self, weights: list[Tensor]) -> Tensor | float:
        """Return strength * (ratio * sum(|w|) + (1 - ratio) * sum(w^2))."""
        mixed = (
            self.ratio * torch.sum(absolute(w)) + (1 - self.ratio) * torch.sum(w * w)
            for w in weights
        )
        return self.strength * sum(mixed)

    @property
    def kernel_arguments(self) -> tuple[float, ...]:
        """Factors of the absolute values and of the squares."""
        return (self.strength * self.ratio, self.strength * (1 - self.ratio))

    @property
    def curvature(self) -> float | None:
        """The strength if there is no l1 part, else None."""
        return self.strength if self.ratio == 0 else None

    @staticmethod
    def kernel(w: float, l1: float, l2: float) -> tuple[float, float]:
        """Return l1 * |w| + l2 * w^2 and its slope."""
        pull = math.copysign(l1, w) if w != 0 else w
        return l1 * abs(w) + l2 * w * w, pull + (l2 + l2) * w
