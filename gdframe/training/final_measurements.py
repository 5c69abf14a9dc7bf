"""Measurements at the end of a run alone: test rows, confusion of classes, and a baseline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gdframe.data.rows import Rows
from gdframe.engines.units import metrics_in_units
from gdframe.metrics.base import Metric
from gdframe.metrics.confusion import confusion_matrix
from gdframe.metrics.tally import Tally
from gdframe.training.baseline import baseline_of
from gdframe.training.run_spec import RunSpec

MOST_CLASSES = 50
"""Most classes whose confusion is counted."""


@dataclass(frozen=True)
class HeldOut:
    """Measurements at the end of a run.

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
        counts = _Confusion()
        metrics: dict[str, Metric] = dict(spec.named_metrics) if part == "test" else {}
        if has_few_classes:
            metrics[""] = counts
        problem = spec.problem
        encoded = spec.objective.encode(rows)
        tally = Tally(metrics, loss, encoded, problem.guard, problem.seed, classes=data.classes)
        evaluation = spec.objective.evaluate(encoded, data, gradient=False, tally=tally)
        if part == "test":
            test_loss = evaluation.loss * spec.unit
            values = {name: v for name, v in evaluation.metrics.items() if name}
            test_metrics = metrics_in_units(values, metrics, data.encoding.target_scale)
        if has_few_classes:
            confusion[part] = counts.table
    named = {"classes": [str(label) for label in data.classes or ()], **confusion}
    return HeldOut(test_loss, test_metrics, named if confusion else None, baseline_of(spec))


class _Confusion(Metric):
    """Counts pairs of true and predicted classes in ``table``; the value itself means nothing."""

    needs = "decisions"
    takes_weights = True

    def __init__(self) -> None:
        self.table = list[list[int]]()

    def __call__(self, predicted: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
        """Count the pairs of all rows, whatever they weigh."""
        self.table = confusion_matrix(predicted, targets).long().tolist()
        return 0.0
