"""The multi-layer perceptron: linear layers with activations between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from gdframe.errors import bad_value
from gdframe.registry import MODELS

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}


@MODELS.register("mlp")
class MLP(nn.Module):
    """A fully connected network.

    Args:
        features: number of features.
        outputs: number of outputs.
        hidden: width of each hidden layer, each at least 1.
        activation: activation after each hidden layer.

    Raises:
        UserError: a width is below 1.

    Example:
        >>> sum(p.numel() for p in MLP(20, 1, hidden=[64]).parameters())
        1409
    """

    default_initializer: ClassVar[str] = "kaiming"

    def __init__(
        self,
        features: int,
        outputs: int = 1,
        *,
        hidden: Sequence[int] = (64,),
        activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu",
    ) -> None:
        super().__init__()
        if any(width < 1 for width in hidden):
            raise bad_value(f"hidden={list(hidden)}", "widths of at least 1")
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(features, width), ACTIVATIONS[activation]()]
            features = width
        self.layers = nn.Sequential(*layers, nn.Linear(features, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Return outputs (rows, outputs) for features (rows, features)."""
        outputs: Tensor = self.layers(features)
        return outputs
