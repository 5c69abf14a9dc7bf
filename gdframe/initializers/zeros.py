"""All zeros."""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.initializers.base import Initializer
from gdframe.registry import INITIALIZERS


@INITIALIZERS.register("zeros")
class Zeros(Initializer):
    """Starts at zero: fine for convex models, a trap for networks, whose units stay all alike."""

    def draw(self, name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
        """0."""
        return torch.zeros(shape, dtype=torch.float64)
