"""What a loss is: the mean error of a batch, and what it asks of the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset, Task
from gdframe.errors import UserError, in_words


class Loss(ABC):
    """Base of losses. The value is the mean over the rows of the batch, a 0-d tensor.

    A loss also says how many outputs the model needs, how targets are encoded for it, and what its
    outputs mean as predictions.
    """

    task: ClassVar[Task] = "regression"
    kernel: ClassVar[Callable[..., Any] | None] = None
    """Plain Python for engines that compile loops; None leaves the loss to the general engines.

    A static method ``kernel(z, y, *arguments)`` on numbers that returns the value and the slope at
    one output; the loss is the mean of it over outputs. Where ``coupled``, ``kernel(z, label,
    slope, *arguments)`` returns the value for all outputs z of a row, and fills in their slopes.
    It may use ``math`` and nothing else from outside.
    """
    coupled: ClassVar[bool] = False
    """Whether the kernel takes all outputs of a row together."""

    curved: ClassVar[bool] = True
    """Whether the second derivative is more than zero somewhere."""

    kinked: ClassVar[bool] = False
    """Whether the slope, or its change, jumps somewhere."""

    @property
    def kernel_arguments(self) -> tuple[float, ...]:
        """What the kernel takes besides outputs and targets."""
        return ()

    @abstractmethod
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs (rows, outputs) against encoded targets."""

    @property
    def name(self) -> str:
        """How messages call the loss."""
        return type(self).__name__

    def check(self, data: Dataset) -> None:
        """Refuse data that the loss makes no sense for.

        Raises:
            UserError: says what does not fit, and what would.
        """
        if data.task != self.task:
            raise UserError(
                f"loss {self.name} is for {self.task}, and target '{data.encoding.target_name}' "
                + (
                    f"holds class labels ({_few(data)}): use loss=cross_entropy, or "
                    "data.task=regression for a table of numbers"
                    if data.task == "classification"
                    else "holds numbers: use loss=mse, mae or huber, or data.task=classification "
                    "for a table"
                )
            )

    def outputs(self, data: Dataset) -> int:
        """Return how many outputs the model needs."""
        return data.train.targets.shape[1]

    def encode(self, targets: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the data's targets as ``__call__`` takes them."""
        return targets.to(dtype)

    def predict(self, outputs: Tensor) -> Tensor:
        """Return predicted values (rows, outputs), or class indices (rows,)."""
        return outputs

    def probabilities(self, outputs: Tensor) -> Tensor | None:
        """Return class probabilities (rows, classes), or None where the loss defines none."""
        return None


class BinaryLoss(Loss):
    """Base of losses on one output that tells two classes apart."""

    task: ClassVar[Task] = "classification"

    def check(self, data: Dataset) -> None:
        """Also refuse any number of classes but two."""
        super().check(data)
        if data.classes is None or len(data.classes) != 2:
            raise UserError(
                f"loss {self.name} tells two classes apart, and target "
                f"'{data.encoding.target_name}' has {len(data.classes or ())}: "
                "use loss=cross_entropy"
            )

    def outputs(self, data: Dataset) -> int:
        """One: the score of the second class."""
        return 1

    def encode(self, targets: Tensor, dtype: torch.dtype) -> Tensor:
        """Return -1 or 1 for each row, (rows, 1)."""
        return (2 * targets.to(dtype) - 1).reshape(-1, 1)

    def predict(self, outputs: Tensor) -> Tensor:
        """The second class where the score is positive."""
        return (outputs[:, 0] > 0).long()


def _few(data: Dataset) -> str:
    classes = [str(label) for label in data.classes or ()]
    return in_words(classes[:4]) + (", ..." if len(classes) > 4 else "")
