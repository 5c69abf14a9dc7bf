"""Base of models that are linear in their parameters."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class LinearModel(nn.Module):
    """Predicts ``design(x) @ weight.T + bias``; the fast engines for linear models execute it.

    A subclass gives ``design``, and nothing else of the computation.

    Args:
        terms: columns of the design.
        outputs: number of outputs.
        bias: whether there is a bias.

    Attributes:
        weight: (outputs, terms).
        bias: (outputs,), or None.
    """

    default_initializer: ClassVar[str] = "zeros"

    def __init__(self, terms: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, terms))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    @abstractmethod
    def design(self, features: Tensor) -> Tensor:
        """Return what the model is linear in: (rows, features) -> (rows, terms)."""

    def forward(self, features: Tensor) -> Tensor:
        """(rows, features) -> (rows, outputs)."""
        return nn.functional.linear(self.design(features), self.weight, self.bias)
