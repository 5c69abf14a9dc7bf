"""Poisson regression: mean of exp(z) - y z, the negative log-likelihood up to a constant."""

from __future__ import annotations

import math

from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.errors import UserError
from gdframe.losses.base import Loss
from gdframe.registry import LOSSES


@LOSSES.register("poisson")
class Poisson(Loss):
    """A loss for counts; the model's output is the logarithm of the expected count.

    Example:
        >>> import torch
        >>> Poisson()(torch.zeros(1, 1), torch.tensor([[3.0]])).item()  # exp(0) - 3 * 0
        1.0
    """

    def check(self, data: Dataset) -> None:
        """Check also that targets are at least 0."""
        super().check(data)
        if data.encoding.offset:
            return  # a run refuses shifted targets
        lowest = float(data.train.targets.min())
        if data.validation is not None:
            lowest = min(lowest, float(data.validation.targets.min()))
        if lowest < 0:
            raise UserError(
                f"loss Poisson is for counts, but target '{data.encoding.target_name}' has the "
                f"value {lowest:g}: use loss=mse, or a target of at least 0"
            )

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of exp(z) - y z."""
        return (outputs.exp() - targets * outputs).mean()

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, the mean over outputs."""
        return (outputs.exp() - targets * outputs).mean(dim=1)

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        """Return exp(z) - y z and exp(z) - y."""
        rate = math.exp(z)
        return rate - y * z, rate - y

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the expected count, exp(z)."""
        return outputs.exp()
