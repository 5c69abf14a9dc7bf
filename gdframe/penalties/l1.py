"""Lasso: strength * sum(|w|)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdframe.penalties.base import Penalty, absolute
from gdframe.registry import PENALTIES


@PENALTIES.register("l1")
class L1(Penalty):
    """A penalty that pulls all weights towards zero equally; its slope at zero is zero.

    Source: Tibshirani, "Regression shrinkage and selection via the lasso" (1996).

    Args:
        strength: factor of the sum of absolute values, at least 0.
        biases: whether biases are penalised too.

    Example:
        >>> L1(strength=0.5).value([torch.tensor([1.0, -2.0])]).item()
        1.5
    """

    kinked = True

    def __init__(self, *, strength: float = 0.01, biases: bool = False) -> None:
        super().__init__(strength=strength, biases=biases)

    def value(self, weights: list[Tensor]) -> Tensor | float:
        """Return strength * sum(|w|)."""
        return self.strength * sum(torch.sum(absolute(w)) for w in weights)

    @staticmethod
    def kernel(w: float, strength: float) -> tuple[float, float]:
        """Return strength * |w| and strength * sign(w)."""
        return strength * abs(w), math.copysign(strength, w) if w != 0 else w
