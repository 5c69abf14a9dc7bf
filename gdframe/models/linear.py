"""The linear model: yhat = w . x + b, one row of weights for each output."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from gdframe.registry import MODELS


@MODELS.register("linear")
class Linear(nn.Module):
    """Linear, logistic or softmax regression, as the loss makes it.

    Args:
        features: number of features.
        outputs: number of outputs.
        bias: whether there is a bias.

    Example:
        >>> Linear(3, 1)(torch.ones(2, 3)).shape
        torch.Size([2, 1])
    """

    default_initializer: ClassVar[str] = "zeros"

    def __init__(self, features: int, outputs: int = 1, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, features))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """(rows, features) -> (rows, outputs)."""
        return nn.functional.linear(self.design(features), self.weight, self.bias)

    def design(self, features: Tensor) -> Tensor:
        """Return what the model is linear in: the features themselves."""
        return features
