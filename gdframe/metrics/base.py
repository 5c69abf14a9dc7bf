"""What a metric is: a number for the quality of predictions, and whether more of it is better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from gdframe.data.dataset import Rows, Task

Needs = Literal["predictions", "probabilities", "scores"]


class Metric(ABC):
    """Base of metrics.

    A metric is a function of what the model predicts for all rows of a part (training or
    validation) and of their targets. Name it by ``@METRICS.register("NAME")``.
    """

    task: ClassVar[Task | None] = None
    """``regression`` or ``classification``; None for a metric of both."""

    maximize: ClassVar[bool] = False
    """Whether a greater value is better."""

    needs: ClassVar[Needs] = "predictions"
    """What the metric is computed from.

    - ``predictions``: values (rows, outputs), or class indices (rows,).
    - ``probabilities``: of the classes, (rows, classes), from losses that define them.
    - ``scores``: the model's outputs as they are, (rows, outputs).
    """

    @abstractmethod
    def __call__(self, predicted: Tensor, targets: Tensor) -> Tensor | float:
        """Return the metric over all rows.

        Args:
            predicted: what ``needs`` says.
            targets: values (rows, outputs), or class indices (rows,).
        """


class SumMetric(Metric):
    """Base of metrics that follow from sums over rows: no predictions are kept in memory."""

    sums: ClassVar[tuple[Callable[[Tensor, Tensor], Tensor], ...]]
    """Functions of some rows' predictions and targets, each a sum over these rows, 0-d."""

    @abstractmethod
    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return the metric from the values of ``sums`` over all rows.

        Args:
            sums: one for each function.
            rows: all of them, their targets encoded as the loss encodes them.
        """

    def __call__(self, predicted: Tensor, targets: Tensor) -> float:
        """Return the metric over all rows."""
        from gdframe.data.dataset import Rows

        values = [float(function(predicted, targets)) for function in self.sums]
        return self.from_sums(values, Rows(predicted, targets))


def squared_error(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of squared differences, in float64."""
    return (predicted.double() - targets).square().sum()


def absolute_error(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of absolute differences, in float64."""
    return (predicted.double() - targets).abs().sum()


def correct(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return how many class indices are right."""
    return (predicted == targets).sum()
