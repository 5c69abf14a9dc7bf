"""Rastrigin's function: f(x) = 10 d + sum_i x_i^2 - 10 cos(2 pi x_i).

Source: Rastrigin, "Systems of extremal control" (1974).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdframe.models.function import Function
from gdframe.registry import MODELS


@MODELS.register("rastrigin")
class Rastrigin(Function):
    """A bowl with local minima at distances of about 1; the global minimum is the origin.

    Args:
        dimension: number of coordinates, at least 1.
        start: starting point; by default 2.2 in each coordinate, above a local minimum.

    Example:
        >>> round(Rastrigin(dimension=1, start=[0.5])().item(), 4)
        20.25
    """

    def __init__(self, *, dimension: int = 2, start: list[float] | None = None) -> None:
        super().__init__([2.2], dimension, start)

    def value(self, x: Tensor) -> Tensor:
        """Return 10 d + sum_i x_i^2 - 10 cos(2 pi x_i)."""
        return (10 + x**2 - 10 * torch.cos(2 * math.pi * x)).sum(dim=-1)

    def minima(self) -> list[list[float]]:
        """Return the origin."""
        return [[0.0] * len(self.x)]
