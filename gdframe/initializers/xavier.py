"""Xavier (Glorot): w ~ U(-a, a) with a = gain * sqrt(6 / (inputs + outputs)).

Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
networks" (2010).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdframe.errors import positive
from gdframe.initializers.base import Initializer, fans
from gdframe.registry import INITIALIZERS


@INITIALIZERS.register("xavier")
class Xavier(Initializer):
    """Draws weights that balance the variance of activations and gradients; for tanh and sigmoid.

    Args:
        gain: factor of the activation, above 0.
    """

    def __init__(self, *, gain: float = 1.0) -> None:
        self.gain = positive("gain", gain)

    def draw(self, name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
        """Return draws of U(-a, a)."""
        bound = self.gain * math.sqrt(6.0 / sum(fans(name, shape)))
        return bound * (2 * torch.rand(shape, generator=random, dtype=torch.float64) - 1)
