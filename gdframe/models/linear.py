"""The linear model: yhat = w . x + b, one row of weights for each output."""

from __future__ import annotations

from torch import Tensor

from gdframe.models.linear_model import LinearModel
from gdframe.registry import MODELS


@MODELS.register("linear")
class Linear(LinearModel):
    """Linear, logistic or softmax regression, as the loss makes it.

    Args:
        features: number of features.
        outputs: number of outputs.
        bias: whether there is a bias.

    Example:
        >>> import torch
        >>> Linear(3, 1)(torch.ones(2, 3)).shape
        torch.Size([2, 1])
    """

    def __init__(self, features: int, outputs: int = 1, *, bias: bool = True) -> None:
        super().__init__(features, outputs, bias=bias)

    def design(self, features: Tensor) -> Tensor:
        """Return the features themselves."""
        return features
