"""The quadratic bowl: f(x) = 1/2 sum_i h_i x_i^2."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdframe.errors import bad_value
from gdframe.models.function import Function
from gdframe.registry import MODELS


@MODELS.register("quadratic")
class Quadratic(Function):
    """A convex quadratic with a geometric sequence of curvatures from 1 to the condition number.

    Each step of gradient descent multiplies coordinate i by exactly ``1 - lr * h_i``.

    Args:
        dimension: number of coordinates, at least 1.
        condition_number: largest curvature divided by the smallest, at least 1.
        start: starting point; by default all ones.

    Example:
        >>> Quadratic(dimension=2, condition_number=10.0)().item()  # (1 + 10) / 2
        5.5
    """

    curvatures: Tensor

    def __init__(
        self,
        *,
        dimension: int = 2,
        condition_number: float = 10.0,
        start: list[float] | None = None,
    ) -> None:
        super().__init__([1.0], dimension, start)
        if not (math.isfinite(condition_number) and condition_number >= 1):
            raise bad_value(
                f"condition_number={condition_number:g}", "a finite number of at least 1"
            )
        top = math.log10(condition_number)
        curvatures = torch.logspace(
            0.0 if dimension > 1 else top, top, dimension, dtype=torch.float64
        )
        self.register_buffer("curvatures", curvatures, persistent=False)

    def value(self, x: Tensor) -> Tensor:
        """Return 1/2 sum_i h_i x_i^2."""
        return 0.5 * (self.curvatures.to(x.dtype) * x * x).sum(dim=-1)

    def minima(self) -> list[list[float]]:
        """Return the origin."""
        return [[0.0] * len(self.x)]
