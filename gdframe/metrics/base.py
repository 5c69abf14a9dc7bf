"""The base classes of metrics, and sums over rows that metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from gdframe.data.dataset import Rows, Task

Needs = Literal["predictions", "decisions", "probabilities", "scores"]


class Metric(ABC):
    """Base class of metrics.

    A metric is a function of the predictions for all rows of a part (training or validation) and
    of their targets. ``@METRICS.register("NAME")`` registers it.
    """

    task: ClassVar[Task | None] = None
    """``regression`` or ``classification``; None for both."""

    maximize: ClassVar[bool] = False
    """True if a greater value is better."""

    needs: ClassVar[Needs] = "predictions"
    """The first argument of the metric.

    - ``predictions``: values (rows, outputs), or class indices (rows,).
    - ``decisions``: predicted classes as one-hot rows (rows, classes), in bool.
    - ``probabilities``: class probabilities (rows, classes), from losses that define them.
    - ``scores``: the model's outputs (rows, outputs), unchanged.
    """

    @abstractmethod
    def __call__(self, predicted: Tensor, targets: Tensor) -> Tensor | float:
        """Return the metric over all rows.

        Args:
            predicted: predictions, decisions, probabilities or scores, as ``needs`` states.
            targets: values (rows, outputs), or class indices (rows,).
        """


class SumMetric(Metric):
    """Base class of metrics that follow from sums over rows, without predictions in memory."""

    sums: ClassVar[tuple[Callable[[Tensor, Tensor], Tensor], ...]]
    """Functions of predictions and targets; each returns a sum over the rows, a 0-d tensor."""

    @abstractmethod
    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return the metric from the values of ``sums`` over all rows.

        Args:
            sums: the value of each function.
            rows: all rows, with targets as the loss encodes them.
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
    """Return the number of correct class indices."""
    return (predicted == targets).sum()
