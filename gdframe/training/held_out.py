"""Measurements at the end of a run alone: test rows, confusion of classes, and a baseline.

The baseline is what a constant predicts: the mean of the training targets, or the most frequent
class with the classes' shares as probabilities. Where rows are split by time and the targets are
numbers, it repeats the value before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows, Task
from gdframe.losses.base import Loss
from gdframe.metrics.base import Metric
from gdframe.metrics.tally import Tally
from gdframe.training.run_spec import RunSpec

MOST_CLASSES = 50
"""Most classes whose confusion is counted."""

MARGIN = 1e-9
"""Relative difference within which a model is as good as its baseline."""


@dataclass(frozen=True)
class HeldOut:
    """What is measured at the end of a run.

    Args:
        test_loss: mean loss over the test rows, or None without any.
        test_metrics: metrics over the test rows, by name.
        confusion: ``classes``, and for each part that is not training rows a table of counts
            (true class, predicted class); None without classes or with many.
        baseline: ``name`` of the baseline, and its metrics by part.
    """

    test_loss: float | None = None
    test_metrics: dict[str, float] = field(default_factory=dict)
    confusion: dict[str, Any] | None = None
    baseline: dict[str, Any] | None = None


def measure_held_out(spec: RunSpec) -> HeldOut:
    """Return what is measured with the parameters that the model has now."""
    loss, data = spec.loss, spec.data
    if loss is None:
        return HeldOut()
    confusion: dict[str, Any] = {}
    has_few_classes = data.classes is not None and len(data.classes) <= MOST_CLASSES
    test_loss, test_metrics = None, dict[str, float]()
    for part in ("validation", "test"):
        rows: Rows | None = getattr(data, part)
        if rows is None or not (has_few_classes or part == "test"):
            continue
        counts = _Confusion(len(data.classes or ()))
        metrics: dict[str, Metric] = dict(spec.named_metrics) if part == "test" else {}
        if has_few_classes:
            metrics[""] = counts
        problem = spec.problem
        encoded = spec.objective.encode(rows)
        tally = Tally(metrics, loss, encoded, problem.guard, problem.seed)
        evaluation = spec.objective.evaluate(encoded, data, gradient=False, tally=tally)
        if part == "test":
            test_loss = evaluation.loss
            test_metrics = {name: v for name, v in evaluation.metrics.items() if name}
        if has_few_classes:
            confusion[part] = counts.table
    named = {"classes": [str(label) for label in data.classes or ()], **confusion}
    return HeldOut(test_loss, test_metrics, named if confusion else None, _baseline(spec))


class _Confusion(Metric):
    """Counts pairs of true and predicted classes; the value itself means nothing."""

    def __init__(self, classes: int) -> None:
        self.classes, self.table = classes, list[list[int]]()

    def __call__(self, predicted: Tensor, targets: Tensor) -> float:
        """Count the pairs of all rows."""
        pairs = targets.long() * self.classes + predicted.long()
        counts = torch.bincount(pairs, minlength=self.classes**2)
        self.table = counts.reshape(self.classes, self.classes).tolist()
        return 0.0


class _Constant(Loss):
    """Stands for the loss of a model whose outputs are its predictions, or class shares."""

    def __init__(self, task: Task) -> None:
        self.task = task  # type: ignore[misc]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Refuse: a baseline is not trained."""
        raise NotImplementedError

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the outputs, or the class of the largest."""
        return outputs.argmax(1) if self.task == "classification" else outputs

    def probabilities(self, outputs: Tensor) -> Tensor | None:
        """Return the outputs, which are class shares."""
        return outputs if self.task == "classification" else None


def _baseline(spec: RunSpec) -> dict[str, Any] | None:
    """Return the metrics of the baseline by part; None where a metric cannot take them."""
    data, metrics = spec.data, spec.named_metrics
    if not metrics:
        return None
    is_in_time = data.facts.get("split") == "time" and data.task == "regression"
    values: dict[str, Any] = {"name": "value before" if is_in_time else _name(data)}
    before = data.train
    for part in ("train", "validation", "test"):
        rows: Rows | None = getattr(data, part)
        if rows is None:
            continue
        if is_in_time:
            first = rows.targets[:1] if part == "train" else before.targets[-1:]
            outputs = torch.cat([first, rows.targets[:-1]])
        else:
            outputs = _constant(data).expand(len(rows), -1)
        before = rows
        tally = Tally(metrics, _Constant(data.task), rows, seed=spec.problem.seed)
        try:
            tally.add(outputs, rows.targets)
            values[part] = tally.values()
        except Exception:  # of a user's metric, which is for a model's predictions
            return None
    return values


def _name(data: Dataset) -> str:
    return "most frequent class" if data.task == "classification" else "mean"


def _constant(data: Dataset) -> Tensor:
    """Return the mean target, (1, outputs), or the shares of the classes, (1, classes)."""
    if data.task == "classification":
        counts = data.class_counts
        return (counts / counts.sum()).to(data.train.features.dtype)[None]
    return data.train.targets.double().mean(0, keepdim=True).to(data.train.targets.dtype)


def no_better_than_before(
    held_out: HeldOut, metrics: Mapping[str, Mapping[str, float]], maximize: Mapping[str, bool]
) -> str | None:
    """Return a sentence if repeating the value before predicts later rows as well as the model.

    Args:
        held_out: measurements at the end of the run.
        metrics: of the model by part and name.
        maximize: by name, whether a greater value is better.
    """
    baseline = held_out.baseline
    if baseline is None or baseline["name"] != "value before" or "validation" not in baseline:
        return None
    for name, value in metrics.get("validation", {}).items():
        other = baseline["validation"].get(name)
        sign = 1.0 if maximize[name] else -1.0
        if other is not None and sign * value <= sign * other + MARGIN * abs(other):
            return (
                f"validation {name} {value:.4g} is no better than {other:.4g}, that of repeating "
                "the value before"
            )
    return None
