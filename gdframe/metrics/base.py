"""The base classes of metrics, and sums over rows that metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from gdframe.data.dataset import Task
    from gdframe.data.rows import Rows

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

    takes_weights: ClassVar[bool] = False
    """True if it counts weights; a metric without it is refused where rows differ in weight."""

    is_shift_invariant: ClassVar[bool] = False
    """True if it stays the same when one number is added to all predictions and targets; a
    metric without it is refused where the targets of a table are shifted for float32."""

    degree: ClassVar[int | None] = None
    """Its power of the scale: ``metric(s p, s y) = s^degree metric(p, y)`` for predictions p and
    targets y. Targets are standardised for training only if that is known."""

    @abstractmethod
    def __call__(
        self, predicted: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> Tensor | float:
        """Return the metric over all rows.

        Args:
            predicted: predictions, decisions, probabilities or scores, as ``needs`` states.
            targets: values (rows, outputs), or class indices (rows,).
            weights: (rows,) with mean 1; given only where rows differ in weight.
        """


class SumMetric(Metric):
    """Base class of metrics that follow from sums over rows, without predictions in memory."""

    sums: ClassVar[tuple[Callable[[Tensor, Tensor], Tensor], ...]]
    """Functions of predictions and targets; each returns a value for each row, (rows,). They are
    summed, times the weights of the rows, whose mean is 1."""

    @abstractmethod
    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return the metric from the values of ``sums`` over all rows.

        Args:
            sums: the sum of each function.
            rows: all rows; classes are as the loss encodes them.
        """

    def __call__(self, predicted: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
        """Return the metric over all rows."""
        from gdframe.data.rows import Rows

        rows = Rows(predicted, targets, weights=weights)
        values = [function(predicted, targets) for function in self.sums]
        return self.from_sums([float(summed(value, rows.shares)) for value in values], rows)


def summed(values: Tensor, shares: Tensor | None) -> Tensor:
    """Return the sum of values (rows,), times the shares of the rows, if there are any."""
    return values.sum() if shares is None else values.double() @ shares


def over_outputs(values: Tensor) -> Tensor:
    """Return the sums of values (rows, outputs) over outputs; one output alone is not added."""
    return values[:, 0] if values.shape[1] == 1 else values.sum(dim=1)


def squared_error(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the squared difference of each row, summed over outputs, in float64."""
    return over_outputs((predicted.double() - targets).square())


def absolute_error(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the absolute difference of each row, summed over outputs, in float64."""
    return over_outputs((predicted.double() - targets).abs())


def correct(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return whether each row's class index is correct."""
    return predicted == targets
