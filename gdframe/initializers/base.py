"""The base class of initialisers, which draw starting values from a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from gdframe.errors import UserError
from gdframe.randomness import Purpose, generator


class Initializer(ABC):
    """Base class of initialisers; a subclass defines ``draw``. Biases start at zero."""

    @abstractmethod
    def draw(self, name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
        """Return starting values for the parameter ``name``, drawn in float64."""


@torch.no_grad()
def initialize(model: nn.Module, initializer: Initializer, *, seed: int) -> None:
    """Fill a model's parameters in place.

    Each parameter has its own random stream, and values are drawn in float64 on the CPU. So the
    start depends on the seed alone, not on the type, the device or the other parameters.
    """
    for index, (name, parameter) in enumerate(model.named_parameters()):
        if name.split(".")[-1].endswith("bias"):
            parameter.zero_()
            continue
        random = generator(seed, Purpose.INITIALIZE, index)
        parameter.copy_(initializer.draw(name, parameter.shape, random))


def fans(name: str, shape: torch.Size) -> tuple[int, int]:
    """Return a weight's number of inputs and outputs, multiplied by its receptive field.

    Raises:
        UserError: the parameter has fewer than two dimensions, so it is not a layer's weight.
    """
    if len(shape) < 2:
        raise UserError(
            f"parameter '{name}' of shape {tuple(shape)}: xavier and kaiming need the weight of a "
            "layer, with two dimensions or more; use initializer=normal, uniform or zeros"
        )
    field = shape[2:].numel()
    return shape[1] * field, shape[0] * field
