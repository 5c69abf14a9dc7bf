"""The baseline of a run: predictions without a model.

It is the mean of the training targets, or the most frequent class with the classes' shares as
probabilities. Where rows are split by time and the targets are numbers, it repeats the value
before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset, Task
from gdframe.data.rows import Rows
from gdframe.diagnostics.cache_key import settings_key
from gdframe.engines.units import metrics_in_units
from gdframe.losses.base import Loss
from gdframe.metrics.tally import Tally
from gdframe.objective import CHUNK
from gdframe.training.run_spec import RunSpec

MARGIN = 1e-9
"""Relative difference within which a model is as good as its baseline."""


class _OutputsArePredictions(Loss):
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


def baseline_of(spec: RunSpec) -> dict[str, Any] | None:
    """Return the metrics of the baseline by part; None where a metric cannot take them.

    Runs on the same data with gdframe's own metrics share it.
    """
    data, metrics = spec.data, spec.named_metrics
    if not metrics:
        return None
    versions = tuple(tensor._version for tensor in data.tensors)
    settings = tuple((name, settings_key(metric)) for name, metric in metrics.items())
    if any(key is None for _, key in settings):  # a metric of a user may read more than that
        return _measured(spec)
    key = ("baseline", settings, versions)
    if key not in data.results:
        data.results[key] = _measured(spec)
    known: dict[str, Any] | None = data.results[key]
    return known


def _measured(spec: RunSpec) -> dict[str, Any] | None:
    data, metrics = spec.data, spec.named_metrics
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
        tally = Tally(metrics, _OutputsArePredictions(data.task), rows, seed=spec.problem.seed)
        try:
            for chunk in zip(
                torch.split(outputs, CHUNK), torch.split(rows.targets, CHUNK), strict=True
            ):
                tally.add(*chunk)
            values[part] = metrics_in_units(tally.values(), metrics, data.encoding.target_scale)
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
    targets, shares = data.train.targets, data.train.shares
    if shares is None:
        return targets.mean(0, keepdim=True, dtype=torch.float64).to(targets.dtype)
    return (shares @ targets.double() / len(targets))[None].to(targets.dtype)


def no_better_than_before(
    baseline: Mapping[str, Any] | None,
    metrics: Mapping[str, Mapping[str, float]],
    maximize: Mapping[str, bool],
) -> str | None:
    """Return a sentence if repeating the value before predicts later rows as well as the model.

    Args:
        baseline: of the run.
        metrics: of the model by part and name.
        maximize: by name, whether a greater value is better.
    """
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
