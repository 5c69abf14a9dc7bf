"""The base class of functions to minimise: models without predictions, whose value is the loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from gdframe.errors import bad_value


class Function(nn.Module):
    """Base class of functions to minimise; a subclass defines ``value``.

    The point ``x`` is the only parameter. Initialisers, optimizers and penalties treat it as any
    other parameter.

    Args:
        start: starting point, with one number for each dimension.
        dimension: number of dimensions, at least 1.

    Raises:
        UserError: ``start`` has another number of entries, or ``dimension`` is below 1.
    """

    default_initializer: ClassVar[None] = None

    def __init__(self, start: Sequence[float], dimension: int) -> None:
        super().__init__()
        if dimension < 1:
            raise bad_value(f"dimension={dimension}", "a whole number of at least 1")
        if len(start) != dimension:
            raise bad_value(f"start={list(start)}", f"{dimension} entries")
        self.x = nn.Parameter(torch.tensor([float(value) for value in start]))

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Return the function's values (...) at points (..., dimension)."""

    def minima(self) -> list[list[float]]:
        """Return the known global minimisers."""
        return []

    def forward(self) -> Tensor:
        """Return the function's value at the current point, a 0-d tensor."""
        return self.value(self.x)
