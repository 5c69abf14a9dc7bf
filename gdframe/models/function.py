"""What a function to minimise is: a model that predicts nothing and whose value is the loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from gdframe.errors import UserError


class Function(nn.Module):
    """Base of functions to minimise: ``value`` is all a function writes.

    The point ``x`` is the only parameter, so initialisers, optimizers and penalties treat it as
    any other.

    Args:
        start: where descent begins, as many numbers as the function has dimensions.
        dimension: how many those are.

    Raises:
        UserError: ``start`` has another number of entries, or fewer than one dimension.
    """

    default_initializer: ClassVar[None] = None

    def __init__(self, start: Sequence[float], dimension: int) -> None:
        super().__init__()
        if dimension < 1:
            raise UserError(f"model.dimension={dimension}: must be at least 1")
        if len(start) != dimension:
            raise UserError(
                f"model.start={list(start)} has {len(start)} entries: expected {dimension}"
            )
        self.x = nn.Parameter(torch.tensor([float(value) for value in start]))

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Return the function at points (..., dimension), shape (...)."""

    def minima(self) -> list[list[float]]:
        """Return the known global minimisers."""
        return []

    def forward(self) -> Tensor:
        """Return the function at the current point, a 0-d tensor."""
        return self.value(self.x)
