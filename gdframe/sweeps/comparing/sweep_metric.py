"""The metric by which the runs of a sweep are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gdframe.errors import unknown
from gdframe.registry import METRICS
from gdframe.stopping import Status

WORTHLESS = (str(Status.DIVERGED), str(Status.FAILED), str(Status.INTERRUPTED))
"""Statuses of runs whose values are not comparable."""

LARGEST = 1e150
"""Largest size of a comparable value: sums of squares of greater ones overflow."""

COLUMNS = (
    "objective", "train_loss", "validation_loss", "gradient_norm", "epochs", "steps", "samples",
    "gradient_evaluations", "seconds.train", "seconds.setup",
)  # fmt: skip
"""Numbers that every run has."""

COSTS = ("epochs", "steps", "samples", "gradient_evaluations", "seconds.train", "seconds.setup")
"""Columns that measure cost; with a target, the cost to reach it."""


def default_metric(results: Iterable[Mapping[str, Any] | None]) -> str:
    """Return ``validation_loss`` if one of the runs has it, else ``objective``."""
    has_validation = any((r or {}).get("validation_loss") is not None for r in results)
    return "validation_loss" if has_validation else "objective"


def value_of(result: Mapping[str, Any], metric: str | None) -> float | None:
    """Return a run's value of a metric, or None if it has no comparable value.

    A run that missed its target has no value of a cost.

    Args:
        result: content of ``result.json``.
        metric: a field of the result, with dots for nested ones; by default ``default_metric``.

    Example:
        >>> value_of({"status": "converged", "metrics": {"train": {"r2": 0.5}}}, "metrics.train.r2")
        0.5
    """
    if result.get("status") in WORTHLESS or _missed_target(result, metric):
        return None
    value = _number(result, metric)
    return float(value) if value is not None and abs(value) <= LARGEST else None


def is_lost(result: Mapping[str, Any], metric: str | None) -> bool:
    """Return whether a run ended with nothing to compare, so that it ranks below all others.

    It diverged, failed, missed the target of a cost, or its value is too large. A run that was
    interrupted, or does not measure the metric, is not lost.

    Example:
        >>> is_lost({"status": "diverged"}, "objective")
        True
        >>> is_lost({"status": "max_epochs", "objective": 1.0}, "metrics.validation.r2")
        False
    """
    if result.get("status") == Status.INTERRUPTED or value_of(result, metric) is not None:
        return False
    is_worthless = result.get("status") in WORTHLESS or _missed_target(result, metric)
    return is_worthless or _number(result, metric) is not None


def _missed_target(result: Mapping[str, Any], metric: str | None) -> bool:
    """Return whether a run missed the target that a cost is measured to."""
    has_target = result.get("target") is not None
    return metric in COSTS and has_target and result["status"] != Status.TARGET_REACHED


def _number(result: Mapping[str, Any], metric: str | None) -> float | None:
    """Return the number in a field of a result, or None if there is none."""
    value: Any = result
    for part in (metric or default_metric([result])).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def check_metric(metric: str | None) -> None:
    """Raise unless runs can be ranked by a metric.

    Raises:
        UserError: no run has such a metric.
    """
    if metric is None or re.fullmatch(r"metrics\.(train|validation)\.\w+", metric):
        return
    if metric not in COLUMNS:
        known = (*COLUMNS, "metrics.train.NAME", "metrics.validation.NAME")
        raise unknown(f"sweep.metric={metric}", "metric of a sweep", metric, known)


def check_measured(metric: str | None, columns: Iterable[str]) -> None:
    """Raise unless one of the runs measures a metric.

    Args:
        metric: a field of ``result.json``, or None.
        columns: that the runs measure, such as ``validation/r2``.

    Raises:
        UserError: no run measures it.
    """
    known = [name.replace("/", ".") for name in dict.fromkeys(columns)]
    known = ["objective", *(f"metrics.{name}" if "." in name else name for name in known)]
    if metric is not None and metric.startswith(("metrics.", "validation")) and metric not in known:
        raise unknown(f"sweep.metric={metric}", "metric of these runs", metric, known)


def worst(metric: str | None) -> float:
    """Return the worst value of a metric, for runs without a value."""
    return -math.inf if goes_up(metric) else math.inf


def better(value: float, than: float, metric: str | None) -> bool:
    """Return whether one value of a metric is better than another."""
    return value > than if goes_up(metric) else value < than


def goes_up(metric: str | None, results: Iterable[Mapping[str, Any] | None] = ()) -> bool:
    """Return whether a greater value of a metric is better.

    Args:
        metric: a field of ``result.json``.
        results: of runs; they hold the directions of metrics from plugins.
    """
    if metric is None or not metric.startswith("metrics."):
        return False
    name = metric.rpartition(".")[2]
    maximized = next((r["maximize"] for r in results if r is not None and "maximize" in r), None)
    if maximized is not None:
        return name in maximized
    return name in METRICS and bool(getattr(METRICS.get(name), "maximize", False))
