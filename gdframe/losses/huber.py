"""Huber's loss: e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond.

Source: Huber, "Robust estimation of a location parameter" (1964).
"""

from __future__ import annotations

import copy
import math

from torch import Tensor, nn

from gdframe.errors import positive
from gdframe.losses.base import Loss
from gdframe.registry import LOSSES


@LOSSES.register("huber")
class Huber(Loss):
    """A loss that is squared near zero and absolute beyond, so that outliers have bounded slopes.

    Args:
        delta: error beyond which the loss is absolute, in units of the target; above 0.

    Example:
        >>> import torch
        >>> Huber(delta=1.0)(torch.tensor([[0.5], [3.0]]), torch.zeros(2, 1)).item()
        1.3125
    """

    kinked = True
    is_shift_invariant = True
    degree = 2

    def __init__(self, *, delta: float = 1.0) -> None:
        self.delta = positive("delta", delta)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of Huber's loss."""
        return self._times_factor(nn.functional.huber_loss(outputs, targets, delta=self.delta))

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return Huber's loss of each row, the mean over outputs."""
        delta = self.delta
        values = nn.functional.huber_loss(outputs, targets, delta=delta, reduction="none")
        return self._times_factor(values.mean(dim=1))

    def _times_factor(self, value: Tensor) -> Tensor:
        return value if self.factor == 1 else self.factor * value

    def scaled(self, scale: float) -> Huber:
        """Return the loss with ``delta`` divided by ``scale``, and slopes of at least 1 beyond."""
        other = copy.copy(self)
        other.delta = self.delta / scale
        other.factor = self.factor * max(1.0, scale / self.delta)
        return other

    @property
    def kernel_arguments(self) -> tuple[float, ...]:
        """The threshold ``delta``, and the factor."""
        return (self.delta, self.factor)

    @staticmethod
    def kernel(z: float, y: float, delta: float, factor: float) -> tuple[float, float]:
        """Return a value that is squared within delta and absolute beyond, and its slope."""
        error = z - y
        if abs(error) <= delta:
            return factor * 0.5 * error * error, factor * error
        far = factor * delta
        return far * (abs(error) - 0.5 * delta), math.copysign(far, error)
