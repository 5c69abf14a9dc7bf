"""The base classes of losses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gdframe.data.dataset import Dataset, Task
from gdframe.errors import UserError, bad_value, in_words
from gdframe.registry import LOSSES


class Loss(ABC):
    """Base class of losses. The value is the mean over the rows of the batch, a 0-d tensor.

    A loss also defines the number of outputs of the model, the encoding of targets, and the
    predictions from outputs.
    """

    task: ClassVar[Task] = "regression"
    kernel: ClassVar[Callable[..., Any] | None] = None
    """Value and slope in plain Python for the linear engine; None: the loss does not run on the
    linear engine.

    A static method ``kernel(z, y, *arguments)`` on numbers returns the value and the slope at one
    output; the loss is the mean value over outputs. Where ``coupled`` is true, ``kernel(z, label,
    slope, *arguments)`` returns the value for all outputs z of a row, and writes their slopes into
    ``slope``. A kernel may use the module ``math``, and no other names from outside.
    """
    coupled: ClassVar[bool] = False
    """True if the kernel takes all outputs of a row together."""

    curved: ClassVar[bool] = True
    """True if the second derivative is above zero somewhere. Diagnostics read it."""

    kinked: ClassVar[bool] = False
    """True if the slope or the curvature jumps somewhere. Diagnostics read it."""

    is_shift_invariant: ClassVar[bool] = False
    """True if one number added to all outputs and targets does not change it; a loss without it is
    refused where the targets of a table are shifted for float32."""

    degree: ClassVar[int | None] = None
    """Its power of the scale: ``loss(s z, s y) = s^degree loss(z, y)`` for outputs z and targets y.
    Targets are standardised for training only if that is known."""

    factor: float = 1.0
    """Number by which a loss of ``scaled`` is multiplied, so that its slopes are near 1."""

    def scaled(self, scale: float) -> Loss:
        """Return the loss of outputs and targets that are divided by ``scale``.

        Its value is that of before, times its ``factor``, divided by ``scale^degree``. Settings in
        units of the target are divided, too.
        """
        return self

    @property
    def kernel_arguments(self) -> tuple[float, ...]:
        """Arguments of the kernel after outputs and targets."""
        return ()

    @abstractmethod
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs (rows, outputs) against encoded targets."""

    def by_row(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, (rows,); rows that differ in weight need it.

        The default calls the loss on each row alone, by ``torch.vmap``.
        """
        by_row: Tensor = torch.vmap(lambda z, y: self(z[None], y[None]))(outputs, targets)
        return by_row

    @property
    def name(self) -> str:
        """Name of the loss in messages."""
        return type(self).__name__

    def check(self, data: Dataset) -> None:
        """Check that the data fit the loss.

        Raises:
            UserError: the data do not fit.
        """
        if data.task != self.task:
            raise UserError(
                f"loss {self.name} is for {self.task}, but target '{data.encoding.target_name}' "
                + (
                    f"holds class labels ({_few(data)}): use loss=cross_entropy{_or_numbers(data)}"
                    if data.task == "classification"
                    else f"holds numbers: use loss={_losses_for(data.task)}, or "
                    "data.task=classification for a table"
                )
            )

    def outputs(self, data: Dataset) -> int:
        """Return the number of outputs that the model needs."""
        targets = data.train.targets
        return targets.shape[1] if targets.ndim > 1 else len(data.classes or ())

    def encode(self, targets: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the data's targets in the form that ``__call__`` takes."""
        return targets.to(dtype)

    def predict(self, outputs: Tensor) -> Tensor:
        """Return predicted values (rows, outputs), or class indices (rows,)."""
        return outputs

    def probabilities(self, outputs: Tensor) -> Tensor | None:
        """Return class probabilities (rows, classes), or None where the loss defines none."""
        return None


def encodes_by_default(loss: Loss) -> bool:
    """Return whether a loss takes targets as the data has them."""
    return type(loss).encode is Loss.encode and "encode" not in vars(loss)


ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float] | None
"""Weights of classes in a loss: ``balanced``, a weight for each label, or None."""


class ClassificationLoss(Loss):
    """Base class of losses for classes: one output for each class, and targets as class indices.

    Args:
        class_weight: weight of each class in the loss, by its label; classes without one have the
            weight 1. ``balanced`` gives all classes the same sum of weights. Metrics do not count
            it.
    """

    task: ClassVar[Task] = "classification"

    def __init__(self, *, class_weight: ClassWeight = None) -> None:
        self.class_weight = _checked(class_weight)

    def outputs(self, data: Dataset) -> int:
        """Return the number of classes."""
        return len(data.classes or ())

    def encode(self, targets: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the class indices (rows,) unchanged."""
        return targets

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the class of the largest output."""
        return outputs.argmax(dim=1)


def _checked(class_weight: ClassWeight) -> ClassWeight:
    """Return weights of classes as a plain dictionary.

    Raises:
        UserError: they are not above zero.
    """
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return class_weight
    expected = "balanced, or a weight above 0 for labels, as in {yes: 5, no: 1}"
    if not isinstance(class_weight, Mapping) or not class_weight:
        raise bad_value(f"class_weight={class_weight}", expected)
    for label, weight in class_weight.items():
        is_number = isinstance(weight, (Real, np.generic)) and not isinstance(weight, bool)
        if not (is_number and 0 < weight < math.inf):
            raise bad_value(f"class_weight: {label} has {weight}", expected)
    return {label: float(weight) for label, weight in class_weight.items()}


class BinaryLoss(ClassificationLoss):
    """Base class of losses for two classes, on one output."""

    def check(self, data: Dataset) -> None:
        """Check also that there are exactly two classes."""
        super().check(data)
        if data.classes is None or len(data.classes) != 2:
            raise UserError(
                f"loss {self.name} is for two classes, but target "
                f"'{data.encoding.target_name}' has {len(data.classes or ())}: "
                "use loss=cross_entropy"
            )

    def outputs(self, data: Dataset) -> int:
        """Return 1, for the score of the second class."""
        return 1

    def encode(self, targets: Tensor, dtype: torch.dtype) -> Tensor:
        """Return -1 or 1 for each row, (rows, 1)."""
        return (2 * targets.to(dtype) - 1).reshape(-1, 1)

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the second class where the score is positive, else the first."""
        return (outputs[:, 0] > 0).long()


def _losses_for(task: Task) -> str:
    """Return the names of the losses for a task, joined for a message."""
    *others, last = (name for name in LOSSES if getattr(LOSSES.get(name), "task", None) == task)
    return f"{', '.join(others)} or {last}"


def _or_numbers(data: Dataset) -> str:
    """Return advice to read class labels as numbers, where they are not text."""
    is_text = any(isinstance(label, str) for label in data.classes or ())
    return "" if is_text else ", or data.task=regression for a table"


def _few(data: Dataset) -> str:
    classes = [str(label) for label in data.classes or ()]
    return in_words(classes[:4]) + (", ..." if len(classes) > 4 else "")
