"""The base class of penalties, which are functions of parameters added to the loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from gdframe.errors import bad_value


def absolute(w: Tensor) -> Tensor:
    """Return ``|w|``, with the slope ``sign(w)``.

    The second derivative of ``torch.abs`` imports PyTorch's compiler, which takes seconds.
    """
    return w * w.detach().sign()


class Penalty(ABC):
    """Base class of penalties; a subclass defines ``value``.

    Args:
        strength: factor of the penalty, at least 0.
        biases: whether biases (parameters whose name ends in ``bias``) are penalised too.

    Raises:
        UserError: ``strength`` is negative or not finite.
    """

    def __init__(self, *, strength: float, biases: bool = False) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise bad_value(f"strength={strength:g}", "a finite number of at least 0")
        self.strength, self.biases = strength, biases

    def select(self, model: nn.Module) -> list[Tensor]:
        """Return the penalised parameters of ``model``."""
        return [
            parameter
            for name, parameter in model.named_parameters()
            if self.biases or not name.split(".")[-1].endswith("bias")
        ]

    kinked: ClassVar[bool] = False
    """True if the slope jumps at zero."""

    kernel: ClassVar[Callable[..., Any] | None] = None
    """Value and slope in plain Python for the linear engine; None for the other engines only.

    A static method ``kernel(w, *arguments)`` on numbers returns the value and the slope at one
    parameter; the penalty is the sum of the values. A kernel may use the module ``math``, and no
    other names from outside.
    """

    @property
    def kernel_arguments(self) -> tuple[float, ...]:
        """Arguments of the kernel after the parameter."""
        return (self.strength,)

    @property
    def curvature(self) -> float | None:
        """Half the second derivative where the penalty is ``curvature * sum(w^2)``, else None."""
        return None

    @abstractmethod
    def value(self, weights: list[Tensor]) -> Tensor | float:
        """Return the penalty of ``weights``, a 0-d tensor."""
