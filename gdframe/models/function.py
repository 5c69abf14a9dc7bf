"""The base class of functions to minimise: models without predictions, whose value is the loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from gdframe.errors import bad_value, require_memory


class Function(nn.Module):
    """Base class of functions to minimise; a subclass defines ``value``.

    The point ``x`` is the only parameter. Initialisers, optimizers and penalties treat it as any
    other parameter.

    Args:
        start: starting point, with one number for each dimension; or fewer, which are repeated.
        dimension: number of dimensions, at least 1.
        chosen: starting point that the user chose instead, if any.

    Raises:
        UserError: ``chosen`` has another number of entries, ``dimension`` is below 1, or the
            parameter does not fit in memory.
    """

    default_initializer: ClassVar[None] = None

    def __init__(
        self, start: Sequence[float], dimension: int, chosen: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if dimension < 1:
            raise bad_value(f"dimension={dimension}", "a whole number of at least 1")
        require_memory(f"dimension={dimension}", 100.0 * dimension)
        if chosen is not None and len(chosen) != dimension:
            raise bad_value(f"start={list(chosen)}", f"{dimension} entries")
        point = torch.tensor([float(value) for value in (start if chosen is None else chosen)])
        self.x = nn.Parameter(point.repeat(-(-dimension // len(point)))[:dimension])

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Return the function's values (...) at points (..., dimension)."""

    def minima(self) -> list[list[float]]:
        """Return the known global minimisers."""
        return []

    @property
    def known_minima(self) -> list[list[float]]:
        """``minima``, but not those of a class whose ``value`` a subclass has replaced."""
        classes = type(self).__mro__
        names = ("minima", "value")
        places = [next(i for i, c in enumerate(classes) if name in vars(c)) for name in names]
        return self.minima() if places[0] <= places[1] else []

    def forward(self) -> Tensor:
        """Return the function's value at the current point, a 0-d tensor."""
        return self.value(self.x)
