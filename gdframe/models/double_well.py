"""The tilted double well: f(x) = (x^2 - 1)^2 + tilt * x."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from gdframe.errors import bad_value
from gdframe.models.function import Function
from gdframe.registry import MODELS


@MODELS.register("double_well")
class DoubleWell(Function):
    """A function of one variable with two minima; the start decides which one is reached.

    With a positive tilt the left well is deeper.

    Args:
        tilt: slope added to the symmetric wells; above about 1.54 there is only one well.
        start: starting point; by default 1.5, above the shallow well.

    Example:
        >>> DoubleWell(tilt=0.0, start=[1.0])().item()
        0.0
    """

    def __init__(self, *, tilt: float = 0.3, start: list[float] | None = None) -> None:
        super().__init__([1.5], 1, start)
        if not math.isfinite(tilt):
            raise bad_value(f"tilt={tilt}", "a finite number")
        self.tilt = tilt

    def value(self, x: Tensor) -> Tensor:
        """Return (x^2 - 1)^2 + tilt * x."""
        return ((x**2 - 1) ** 2 + self.tilt * x).sum(dim=-1)

    def minima(self) -> list[list[float]]:
        """Return the lowest real roots of f'(x) = 4 x^3 - 4 x + tilt; two roots without a tilt."""
        roots = np.roots([4.0, 0.0, -4.0, self.tilt])
        real = roots[np.abs(roots.imag) < 1e-9].real
        values = (real**2 - 1) ** 2 + self.tilt * real
        return [[float(x)] for x in real[values <= values.min() + 1e-12]]
