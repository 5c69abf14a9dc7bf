"""Uniform: w ~ U(low, high)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdframe.errors import bad_value
from gdframe.initializers.base import Initializer
from gdframe.registry import INITIALIZERS


@INITIALIZERS.register("uniform")
class Uniform(Initializer):
    """Draws weights uniformly from an interval.

    Args:
        low: lower end of the interval.
        high: upper end of the interval, above ``low``.
    """

    def __init__(self, *, low: float = -0.1, high: float = 0.1) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise bad_value(f"low={low:g}", f"a number below high={high:g}")
        self.low, self.high = low, high

    def draw(self, name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
        """Return draws of low + (high - low) * U(0, 1)."""
        unit = torch.rand(shape, generator=random, dtype=torch.float64)
        return self.low + (self.high - self.low) * unit
