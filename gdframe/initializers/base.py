"""The base class of initialisers, which draw starting values from a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from gdframe.errors import UserError
from gdframe.optimizers.tensors import described
from gdframe.randomness import Purpose, generator, seeded


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

    Raises:
        UserError: the initializer returns something else than a tensor of the parameter's shape.
    """
    for index, (name, parameter) in enumerate(model.named_parameters()):
        if name.split(".")[-1].endswith("bias"):
            parameter.zero_()
            continue
        random = generator(seed, Purpose.INITIALIZE, index)
        with seeded(seed, Purpose.CONSTRUCT, index):  # it may draw by torch.nn.init
            values = initializer.draw(name, parameter.shape, random)
        if not isinstance(values, Tensor) or values.shape != parameter.shape:
            raise UserError(
                f"{type(initializer).__name__}.draw: returned {described(values)} for parameter "
                f"'{name}'; expected a tensor of shape {tuple(parameter.shape)}"
            )
        parameter.copy_(values)


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
