"""Rosenbrock's valley: f(x) = sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2.

Source: Rosenbrock, "An automatic method for finding the greatest or least value of a function"
(1960).
"""

from __future__ import annotations

from torch import Tensor

from gdframe.errors import bad_value
from gdframe.models.function import Function
from gdframe.registry import MODELS


@MODELS.register("rosenbrock")
class Rosenbrock(Function):
    """A curved, narrow valley with slow progress to the minimum at (1, ..., 1).

    Args:
        dimension: number of coordinates, at least 2.
        start: starting point; by default (-1.2, 1, -1.2, 1, ...).

    Example:
        >>> round(Rosenbrock()().item(), 4)
        24.2
    """

    def __init__(self, *, dimension: int = 2, start: list[float] | None = None) -> None:
        if dimension < 2:
            raise bad_value(f"dimension={dimension}", "a whole number of at least 2")
        super().__init__([-1.2, 1.0], dimension, start)

    def value(self, x: Tensor) -> Tensor:
        """Return sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
        x_i, x_next = x[..., :-1], x[..., 1:]
        return (100 * (x_next - x_i**2) ** 2 + (1 - x_i) ** 2).sum(dim=-1)

    def minima(self) -> list[list[float]]:
        """Return the point of all ones."""
        return [[1.0] * len(self.x)]
