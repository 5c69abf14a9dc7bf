"""Kaiming (He): w ~ N(0, 2 / inputs).

Source: He et al., "Delving deep into rectifiers" (2015).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdframe.errors import positive
from gdframe.initializers.base import Initializer, fans
from gdframe.registry import INITIALIZERS


@INITIALIZERS.register("kaiming")
class Kaiming(Initializer):
    """Draws weights that preserve the variance of activations through ReLU layers.

    Args:
        gain: factor of the activation, above 0; the square root of 2 for ReLU.
    """

    def __init__(self, *, gain: float = 1.4142135623730951) -> None:
        self.gain = positive("gain", gain)

    def draw(self, name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
        """Return draws of gain / sqrt(inputs) * N(0, 1)."""
        std = self.gain / math.sqrt(fans(name, shape)[0])
        return std * torch.randn(shape, generator=random, dtype=torch.float64)
