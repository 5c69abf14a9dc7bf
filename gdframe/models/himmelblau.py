"""Himmelblau's function: f(x, y) = (x^2 + y - 11)^2 + (x + y^2 - 7)^2.

Source: Himmelblau, "Applied nonlinear programming" (1972).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.models.function import Function
from gdframe.registry import MODELS


@MODELS.register("himmelblau")
class Himmelblau(Function):
    """A function with four minima of value 0; the start decides which one is reached.

    Args:
        start: starting point; by default the origin.

    Example:
        >>> Himmelblau(start=[3.0, 2.0])().item()
        0.0
    """

    def __init__(self, *, start: list[float] | None = None) -> None:
        super().__init__([0.0], 2, start)

    def value(self, x: Tensor) -> Tensor:
        """Return (x^2 + y - 11)^2 + (x + y^2 - 7)^2."""
        a, b = x[..., 0], x[..., 1]
        return (a**2 + b - 11) ** 2 + (a + b**2 - 7) ** 2

    def minima(self) -> list[list[float]]:
        """Return all four minima."""
        return [
            [3.0, 2.0],
            [-2.805118086952745, 3.131312518250573],
            [-3.779310253377747, -3.283185991286170],
            [3.584428340330492, -1.848126526964404],
        ]
