"""From what engines compute with standardised targets to the units of the target."""

from __future__ import annotations

from collections.abc import Mapping

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.losses.base import Loss
from gdframe.metrics.base import Metric
from gdframe.models.linear_model import LinearModel
from gdframe.objective import Objective


def objective_unit(loss: Loss | None, data: Dataset) -> float:
    """Return the factor from an objective or a loss to the units of the target."""
    if loss is None or loss.degree is None:
        return 1.0
    return float(data.encoding.target_scale**loss.degree / loss.factor)


def gradient_unit(objective: Objective, data: Dataset) -> float:
    """Return the factor from a gradient's norm to the units of the target.

    The parameters of a linear model are in these units, too, so the gradient has one power less.
    Those of a network have none.
    """
    unit = objective_unit(objective.loss, data)
    is_scaled = isinstance(objective.model, LinearModel)
    return unit / data.encoding.target_scale if is_scaled else unit


def metrics_in_units(
    values: Mapping[str, float], metrics: Mapping[str, Metric], target_scale: float
) -> dict[str, float]:
    """Return metrics by name in the units of the target.

    Args:
        values: as computed from standardised targets.
        metrics: by the same names.
        target_scale: divisor of the targets.
    """
    return {
        name: value * target_scale ** (metrics[name].degree or 0) for name, value in values.items()
    }


def row_in_units(row: Mapping[str, float], problem: Problem, data: Dataset) -> dict[str, float]:
    """Return a row of a history in the units of the target.

    Args:
        row: as an engine computes it.
        problem: of the run.
        data: maybe with standardised targets.
    """
    scale, unit = data.encoding.target_scale, objective_unit(problem.objective.loss, data)
    converted, slope = dict(row), gradient_unit(problem.objective, data)
    if scale == 1:
        return converted
    for column, value in row.items():
        part, _, name = column.partition("/")
        if part in ("objective", "train_loss", "validation_loss"):
            converted[column] = value * unit
        elif part == "gradient_norm":
            converted[column] = value * slope
        elif part in ("train", "validation"):
            converted[column] = value * scale ** (problem.measured(data)[name].degree or 0)
    return converted
