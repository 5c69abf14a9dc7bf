"""Normal: w ~ N(mean, std^2)."""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.errors import positive
from gdframe.initializers.base import Initializer
from gdframe.registry import INITIALIZERS


@INITIALIZERS.register("normal")
class Normal(Initializer):
    """Draws weights from a normal distribution.

    Args:
        mean: mean of the distribution.
        std: standard deviation of the distribution, above 0.
    """

    def __init__(self, *, mean: float = 0.0, std: float = 0.1) -> None:
        self.mean, self.std = mean, positive("std", std)

    def draw(self, name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
        """Return draws of mean + std * N(0, 1)."""
        return self.mean + self.std * torch.randn(shape, generator=random, dtype=torch.float64)
