"""A small convolutional network for square grey images, such as digits of 8 x 8 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import ClassVar

from torch import Tensor, nn

from gdframe.errors import InputError, bad_value, counted
from gdframe.registry import MODELS


@MODELS.register("cnn")
class CNN(nn.Module):
    """3 x 3 convolutions with ReLU, each followed by 2 x 2 max-pooling, then a linear layer.

    Args:
        features: number of pixels of an image, a square number; each row is one image.
        outputs: number of outputs.
        channels: output channels of each convolution, each at least 1.

    Raises:
        UserError: the features are not a square image, or the image is too small for the layers.

    Example:
        >>> import torch
        >>> CNN(64, 10)(torch.zeros(5, 64)).shape
        torch.Size([5, 10])
    """

    default_initializer: ClassVar[str] = "kaiming"

    def __init__(
        self,
        features: int,
        outputs: int = 1,
        *,
        channels: Sequence[int] = (8, 16),
    ) -> None:
        super().__init__()
        self.side = isqrt(features)
        if self.side**2 != features:
            raise bad_value(
                f"model=cnn with {features} features",
                "square images",
                "use data=digits, or model=mlp",
            )
        if any(width < 1 for width in channels):
            raise bad_value(f"channels={list(channels)}", "numbers of at least 1")
        most = self.side.bit_length() - 1
        if len(channels) > most:
            raise InputError(
                f"channels={list(channels)}",
                f"{counted(len(channels), 'layer')} for images of {self.side} x {self.side} "
                f"pixels, which can be halved {counted(most, 'time')}; use "
                f"model.channels={list(channels[:most])}",
            )
        layers: list[nn.Module] = []
        inputs = 1
        for width in channels:
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            inputs = width
        final_side = self.side >> len(channels)
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(inputs * final_side * final_side, outputs)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return outputs (rows, outputs) for images (rows, side * side)."""
        images = features.reshape(-1, 1, self.side, self.side)
        outputs: Tensor = self.layers(images)
        return outputs
