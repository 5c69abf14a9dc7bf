"""Zeros as starting values."""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.initializers.base import Initializer
from gdframe.registry import INITIALIZERS


@INITIALIZERS.register("zeros")
class Zeros(Initializer):
    """Starts at zero: right for convex models; the units of networks would all stay equal."""

    def draw(self, name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
        """Return zeros."""
        return torch.zeros(shape, dtype=torch.float64)
