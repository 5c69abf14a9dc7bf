"""The nearness of a point to a stationary point of the objective.

A point is near if the objective is at most a thousandth of the mean predictor's loss above its
minimum. Where the minimum is not known, the decrease that a Newton step promises takes the place of
the gap. For functions without data, the Newton step must be short.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.minimum import Minimum, baseline_loss, flat, minimum_of
from gdframe.diagnostics.newton import Local
from gdframe.diagnostics.typed_objective import is_same_in_double
from gdframe.engines.units import gradient_unit, objective_unit
from gdframe.hidden_state import undisturbed
from gdframe.models.function import Function
from gdframe.objective import Objective, evaluation_mode

log = logging.getLogger("gdframe")

NEAR = 1e-3
"""Largest gap to a minimum that counts as near, as a share of the mean predictor's loss; longest
Newton step of a function, in units of one plus the norm of the point."""

MOST_ROWS, WORK, MOST_PRODUCTS = 10_000, 3e8, 40
"""Most rows of a Newton step; most products of rows and parameters for it; most of the Hessian."""

MOST_VALUES = 5_000_000
"""Most feature values of which a copy in float64 is made."""

DENSE = 200
"""Most parameters of a function whose Hessian is computed whole."""


@dataclass(frozen=True)
class Nearness:
    """The nearness of a point to a stationary point.

    Args:
        gap: objective above its minimum; an estimate if the minimum is not known; NaN if unknown.
        scale: what gaps are compared with: the mean predictor's loss, or the fall of a function.
        is_near: whether the point is near a stationary point; False if that is unknown.
        minimum: of the objective, if known.
        distance: length of the Newton step, if computed.
    """

    gap: float
    scale: float
    is_near: bool
    minimum: Minimum | None = None
    distance: float | None = None


UNKNOWN = Nearness(math.nan, math.nan, is_near=False)
"""The nearness of a point of an objective without second derivatives."""


def nearness(
    objective: Objective,
    data: Dataset,
    row: Mapping[str, float],
    parameters: Mapping[str, Tensor],
) -> Nearness:
    """Return how near a point is to a stationary point.

    Args:
        objective: model, loss and penalty.
        data: its training rows.
        row: the evaluation at the point: ``objective`` and ``gradient_norm``.
        parameters: the point, by name.
    """
    if not all(math.isfinite(row[name]) for name in ("objective", "gradient_norm")):
        return UNKNOWN
    minimum = minimum_of(objective, data)
    if minimum is not None:
        unit = objective_unit(objective.loss, data)
        minimum = minimum.times(unit)
        if (quadratic := least_squares(objective, data)) is not None:
            gap = unit * quadratic.gap(parameters)
        else:
            gap = _exact_objective(objective, data, row, parameters) - minimum.value
        return Nearness(gap, minimum.scale, gap <= NEAR * minimum.scale, minimum)
    if objective.penalized and objective.penalty.kinked:
        return UNKNOWN
    model = objective.model
    unchanged = undisturbed(model=model, loss=objective.loss, penalty=objective.penalty)
    with unchanged, evaluation_mode(model):
        of = _of_function if isinstance(model, Function) else _of_model
        return of(objective, data, row, parameters)


def is_near(
    objective: Objective,
    data: Dataset,
    row: Mapping[str, float],
    parameters: Mapping[str, Tensor],
) -> bool:
    """Return whether a point is near a stationary point; False if that cannot be computed.

    The arguments are those of ``nearness``.
    """
    try:
        return nearness(objective, data, row, parameters).is_near
    except Exception as error:  # a user's component may have no second derivative
        log.debug("whether the point is stationary is not known: %s", error)
        return False


@torch.no_grad()
def _exact_objective(
    objective: Objective, data: Dataset, row: Mapping[str, float], parameters: Mapping[str, Tensor]
) -> float:
    """Return the objective of a linear model in float64, unless that needs much memory.

    In float32 the rounding of outputs far from zero may exceed the gap.
    """
    named = {n: p for n, p in objective.model.named_parameters() if p.requires_grad}
    is_exact = all(parameters[name].dtype == torch.float64 for name in named)
    if is_exact or data.train.features.numel() > MOST_VALUES:
        return row["objective"]
    value, _ = flat(objective, objective.encode(data.train))
    point = torch.cat([parameters[name].detach().double().reshape(-1) for name in named])
    return float(value(point)) * objective_unit(objective.loss, data)


def _of_function(
    objective: Objective, data: Dataset, row: Mapping[str, float], parameters: Mapping[str, Tensor]
) -> Nearness:
    """Return the nearness of a function's point by its Newton step, with absolute curvatures."""
    value, _ = flat(objective, data.train)
    point = parameters["x"].detach().double().reshape(-1)
    local = Local(value, point)
    if len(point) <= DENSE:
        unit = torch.eye(len(point), dtype=point.dtype, device=point.device)
        values, vectors = torch.linalg.eigh(torch.stack([local.product(row) for row in unit]))
        slopes, sizes = vectors.T @ local.gradient, values.abs()
        rounding = 1e-12 * float(sizes.max())
        along = sizes > rounding
        if not bool(along.any()) or float(slopes[~along].abs().sum()) > 1e-6 * float(sizes.max()):
            is_flat = float(local.gradient.norm()) == 0
            return Nearness(0.0 if is_flat else math.inf, 1.0, is_flat)
        steps = slopes[along] / sizes[along]
        distance, gap = float(steps.norm()), float(0.5 * (steps * slopes[along]).sum())
    else:
        newton = local.newton_step(MOST_PRODUCTS)
        distance, gap = float(newton.step.norm()), newton.decrease
        distance = distance if math.isfinite(gap) else math.inf
    is_near = distance <= NEAR * (1 + float(point.norm()))
    return Nearness(gap, max(abs(row["objective"]), abs(gap), 1e-300), is_near, distance=distance)


def _of_model(
    objective: Objective, data: Dataset, row: Mapping[str, float], parameters: Mapping[str, Tensor]
) -> Nearness:
    """Return the nearness of a model's point by a truncated Newton step on some rows."""
    loss = objective.loss
    if loss is None or not loss.curved:
        return UNKNOWN
    named = {n: p for n, p in objective.model.named_parameters() if p.requires_grad}
    size = sum(p.numel() for p in named.values())
    stride = -(-data.rows // MOST_ROWS)
    sample = data.train.take(slice(None, None, stride))
    products = min(MOST_PRODUCTS, int(WORK / (len(sample) * size)))
    if products < 2:
        return UNKNOWN
    rows = objective.encode(sample)
    if not is_same_in_double(objective, {name: parameters[name] for name in named}, rows):
        return UNKNOWN
    value, _ = flat(objective, rows)
    point = torch.cat([parameters[name].detach().double().reshape(-1) for name in named])
    local = Local(value, point)
    norm = float(local.gradient.norm())
    unit = objective_unit(loss, data)
    scale = max(abs(baseline_loss(loss, objective, data)) * unit, 1e-300)
    if norm == 0 or row["gradient_norm"] == 0:
        return Nearness(0.0, scale, is_near=True)
    measured = row["gradient_norm"] / gradient_unit(objective, data)
    newton = local.newton_step(products, local.gradient * (measured / norm))
    distance, gap = float(newton.step.norm()), newton.decrease * unit
    return Nearness(gap, scale, gap <= NEAR * scale, distance=distance)
