"""The computation of metrics chunk by chunk, from the outputs of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Dataset, Task
from gdframe.data.rows import Rows
from gdframe.errors import UserError
from gdframe.hidden_state import Guard, undisturbed
from gdframe.losses.base import Loss
from gdframe.metrics.base import Metric, SumMetric, squared_error, summed
from gdframe.randomness import Purpose, seeded
from gdframe.registry import METRICS, is_built_in

DEFAULTS: dict[Task, tuple[str, ...]] = {
    "regression": ("r2", "rmse", "mae"),
    "classification": ("accuracy",),
    "minimization": (),
}
"""Default metrics of a task."""

WITH_RARE_CLASS = ("accuracy", "balanced_accuracy", "roc_auc")
"""Default metrics where a class is rare: accuracy is high if the class is never predicted."""


def default_metrics(data: Dataset) -> Mapping[str, Metric]:
    """Return the default metrics of data by name."""
    return _built(WITH_RARE_CLASS) if data.has_rare_class else metrics_of_task(data.task)


def metrics_of_task(task: Task) -> Mapping[str, Metric]:
    """Return the metrics that fit any data of a task, by name."""
    return _built(DEFAULTS[task])


@cache
def _built(names: tuple[str, ...]) -> Mapping[str, Metric]:
    return {name: METRICS.build(name) for name in names}


def named_metrics(metrics: Sequence[str | Metric]) -> dict[str, Metric]:
    """Return metrics by name; a metric that is a text is built from the registry.

    Raises:
        UserError: a name is unknown.
    """
    built = [METRICS.build(metric) if isinstance(metric, str) else metric for metric in metrics]
    return {METRICS.name_of(metric): metric for metric in built}


class Tally:
    """Adds up the sums of metrics over chunks; stores predictions only for metrics that need them.

    Args:
        metrics: the metrics by name.
        loss: turns outputs into predictions or probabilities; None for a function, without metrics.
        rows: all rows to predict, with targets encoded by the loss.
        guard: notices that a metric changes the run.
        seed: of what a user's metric draws.
        classes: of the data, by which predictions are counted; a loss may have fewer outputs.

    Attributes:
        sums: sums over the chunks so far, 0-d tensors.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        loss: Loss | None,
        rows: Rows,
        guard: Guard | None = None,
        seed: int = 0,
        *,
        classes: Sequence[object] | None = None,
    ) -> None:
        self._classes = max(2, len(classes or ()))
        self.metrics = metrics if loss is not None else {}
        self.loss, self.rows, self._guard = loss, rows.measured, guard or Guard({})
        self._values, self._done = rows.values, 0
        self.sums: list[Tensor] = []
        self._seed = seed
        summed = [m for m in self.metrics.values() if isinstance(m, SumMetric)]
        self._functions = list(dict.fromkeys((m.needs, f) for m in summed for f in m.sums))
        self._views: dict[str, list[Tensor]] = {
            metric.needs: []
            for metric in self.metrics.values()
            if not isinstance(metric, SumMetric)
        }

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add the next chunk of the model's outputs and their encoded targets."""
        if not self.metrics:
            return
        assert self.loss is not None
        if self._values is not None:
            targets = self._values[self._done : self._done + len(outputs)]
        self._done += len(outputs)
        needed = dict.fromkeys(needs for needs, _ in self._functions)
        views = {needs: self._view(needs, outputs) for needs in needed}
        shares = self.rows.shares
        if shares is not None:
            shares = shares[self._done - len(outputs) : self._done]
        by_row = [
            self._by_row(function, views[need], targets) for need, function in self._functions
        ]
        chunk = [summed(values, shares) for values in by_row]
        self.sums = [a + b for a, b in zip(self.sums, chunk, strict=True)] if self.sums else chunk
        for needs, chunks in self._views.items():
            chunks.append(views[needs] if needs in views else self._view(needs, outputs))

    def _by_row(
        self, function: Callable[[Tensor, Tensor], Tensor], predicted: Tensor, targets: Tensor
    ) -> Tensor:
        """Return the values of a chunk's rows, (rows,).

        Raises:
            UserError: they are something else.
        """
        names = (n for n, m in self.metrics.items() if function in getattr(m, "sums", ()))
        name = next(names)
        values: Tensor = self._call(name, function, predicted, targets)
        if getattr(values, "shape", None) != targets.shape[:1]:
            shape = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values)
            raise UserError(
                f"metric {name}: {function.__name__} returned {shape}; expected a value for each "
                f"row, {tuple(targets.shape[:1])}"
            )
        return values

    def _call(self, name: str, function: Any, *arguments: Tensor) -> Any:
        """Call a metric, or one of its functions, which must leave all it is given as it is."""
        if is_built_in(function):
            return function(*arguments)
        names = ("predictions", "targets", "weights")
        tensors = dict(zip(names, arguments, strict=False))
        seed = seeded(self._seed, Purpose.EVALUATION, device=arguments[1].device)
        with self._guard.around(f"metric {name}", function, tensors), seed:
            return function(*arguments)

    def _view(self, needs: str, outputs: Tensor) -> Tensor:
        """Return predictions, probabilities or scores."""
        assert self.loss is not None
        if needs in ("predictions", "decisions"):
            predicted: Tensor = _asked(self.loss, self.loss.predict, outputs)
            if needs == "predictions":
                return predicted
            count = max(outputs.shape[1], self._classes)
            check_classes(self.loss, predicted, count)
            return nn.functional.one_hot(predicted, count).bool()
        if needs == "scores":
            return outputs
        probabilities: Tensor | None = _asked(self.loss, self.loss.probabilities, outputs)
        if probabilities is None:
            name = next(n for n, m in self.metrics.items() if m.needs == needs)
            raise UserError(
                f"metric {name}: needs probabilities, but loss {self.loss.name} defines none; "
                "choose another loss or metric"
            )
        return probabilities

    def values(self, sums: Sequence[float] | None = None) -> dict[str, float]:
        """Return the metrics over all chunks, by name; NaN for a metric that is not defined.

        Args:
            sums: the values of ``self.sums``, if the caller knows them.
        """
        if sums is None:
            sums = [float(total) for total in self.sums]
        by_function: dict[tuple[str, Callable[[Tensor, Tensor], Tensor]], float] = dict(
            zip(self._functions, sums, strict=True)
        )
        values = {}
        for name, metric in self.metrics.items():
            if isinstance(metric, SumMetric):
                metric_sums = [by_function[metric.needs, function] for function in metric.sums]
                with self._guard.around(f"metric {name}", metric):
                    values[name] = metric.from_sums(metric_sums, self.rows)
            else:
                predicted = torch.cat(self._views[metric.needs])
                targets = self.rows.targets
                weights = [] if self.rows.shares is None else [self.rows.shares]
                value = self._call(name, metric, predicted, targets, *weights)
                values[name] = _number(name, value)
        return values


def check_classes(loss: Loss, predicted: Tensor, classes: int) -> None:
    """Check the classes that a user's loss predicts.

    Raises:
        UserError: one is none of the data's.
    """
    if is_built_in(loss) or not len(predicted):
        return
    low, high = int(predicted.min()), int(predicted.max())
    if low < 0 or high >= classes:
        raise UserError(
            f"loss {loss.name}.predict: returned classes from {low} to {high}; expected from 0 to "
            f"{classes - 1}"
        )


def _asked(loss: Loss, method: Callable[[Tensor], Any], outputs: Tensor) -> Any:
    """Return what a method of a loss returns; a user's gets a copy, and keeps no memory of it."""
    if is_built_in(method):
        return method(outputs)
    with undisturbed(loss=loss):
        return method(outputs.clone())


def _number(name: str, value: Tensor | float) -> float:
    """Return a metric's value as a number.

    Raises:
        UserError: the value is not a number.
    """
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        raise UserError(
            f"metric {name}: returned a {type(value).__name__}{shape}; expected one number"
        ) from error


def from_squared_error(
    metrics: Mapping[str, Metric], squared: float, rows: Rows
) -> dict[str, float]:
    """Return the metrics that follow from the squared error alone; NaN for the others."""
    return {
        name: metric.from_sums([squared], rows.measured)
        if _is_of_squared_error(metric)
        else math.nan
        for name, metric in metrics.items()
    }


def follow_from_squared_error(metrics: Mapping[str, Metric]) -> bool:
    """Return whether all metrics follow from the squared error alone."""
    return all(map(_is_of_squared_error, metrics.values()))


def _is_of_squared_error(metric: Metric) -> TypeGuard[SumMetric]:
    return isinstance(metric, SumMetric) and metric.sums == (squared_error,)
