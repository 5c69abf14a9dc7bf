"""What a penalty is: a function of the parameters added to the loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from gdframe.errors import UserError


class Penalty(ABC):
    """Base of penalties: ``value`` is all a penalty writes.

    Args:
        strength: factor of the penalty, at least 0.
        biases: whether biases (parameters whose name ends in ``bias``) are penalised too.

    Raises:
        UserError: the strength is negative or not finite.
    """

    def __init__(self, *, strength: float, biases: bool = False) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise UserError(f"penalty.strength={strength:g}: must be a finite number of at least 0")
        self.strength, self.biases = strength, biases

    def select(self, model: nn.Module) -> list[Tensor]:
        """Return the parameters of ``model`` that are penalised."""
        return [
            parameter
            for name, parameter in model.named_parameters()
            if self.biases or not name.split(".")[-1].endswith("bias")
        ]

    kinked: ClassVar[bool] = False
    """Whether the slope jumps at zero."""

    kernel: ClassVar[Callable[..., Any] | None] = None
    """Plain Python for engines that compile loops; None leaves the penalty to the general engines.

    A static method ``kernel(w, *arguments)`` on numbers that returns the value and the slope at one
    parameter; the penalty is the sum of it. It may use ``math`` and nothing else from outside.
    """

    @property
    def kernel_arguments(self) -> tuple[float, ...]:
        """What the kernel takes besides a parameter."""
        return (self.strength,)

    @property
    def curvature(self) -> float | None:
        """Half the second derivative where the penalty is ``curvature * sum(w^2)``, else None."""
        return None

    @abstractmethod
    def value(self, weights: list[Tensor]) -> Tensor | float:
        """Return the penalty of ``weights``, a 0-d tensor."""
