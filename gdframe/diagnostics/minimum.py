"""The minimum of a linear model's objective, and the loss of the mean predictor beside it.

Least squares is exact. Other losses that are convex and smooth are minimised by Newton's method.
The mean predictor is the constant output with the lowest loss. Its loss is the most that a model
can explain, so gaps to the minimum are given as shares of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.diagnostics.cache_key import RowsCache, settings_key
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.newton import minimize
from gdframe.diagnostics.typed_objective import ALIKE, TypedObjective
from gdframe.engines.expansion import why_not_quadratic_penalty
from gdframe.engines.probe import is_linear
from gdframe.losses.base import Loss
from gdframe.losses.binary_cross_entropy import BinaryCrossEntropy
from gdframe.losses.cross_entropy import CrossEntropy
from gdframe.objective import Objective
from gdframe.registry import is_built_in

WORK, MOST_PRODUCTS = 3e8, 600
"""Most multiplications of Newton's method, and most Hessian products."""

ACCURACY = 1e-9
"""Decrease that a Newton step promises at a minimum, relative to it."""

_minima: RowsCache[tuple[float, bool] | None] = RowsCache(256)
_baselines: RowsCache[float] = RowsCache(256)


@dataclass(frozen=True)
class Minimum:
    """The minimum of a convex objective.

    Args:
        value: the minimum; where it is not attained, the infimum.
        baseline: objective of the mean predictor.
        is_attained: whether parameters attain it. Classes that a linear model separates have no
            finite minimum.
    """

    value: float
    baseline: float
    is_attained: bool = True

    def times(self, unit: float) -> Minimum:
        """Return the minimum of the objective times a number above 0."""
        return replace(self, value=self.value * unit, baseline=self.baseline * unit)

    @property
    def scale(self) -> float:
        """The size of the mean predictor's loss, or its gap to the minimum if larger; above 0."""
        return max(abs(self.baseline), self._left, 1e-300)

    @property
    def scale_name(self) -> str:
        """Return the name of ``scale`` in sentences: a loss that may be negative has no zero."""
        if self._left > abs(self.baseline):
            return "what the mean predictor leaves to explain"
        return f"{'the size of ' if self.baseline < 0 else ''}the mean predictor's loss"

    @property
    def _left(self) -> float:
        return abs(self.baseline - self.value)


def minimum_of(objective: Objective, data: Dataset) -> Minimum | None:
    """Return the minimum of a linear model's objective; None if it is not cheap to know.

    Results are cached until the data is freed.
    """
    model, loss = objective.model, objective.loss
    if loss is None or not is_linear(model, data.train.features):
        return None
    if (quadratic := least_squares(objective, data)) is not None:
        return Minimum(quadratic.minimum, baseline_loss(loss, objective, data))
    is_smooth = is_built_in(loss) and loss.curved and why_not_quadratic_penalty(objective) is None
    if not is_smooth or not all(p.requires_grad for p in model.parameters()):
        return None
    keys = [settings_key(component) for component in objective.components.values()]
    known = _minima.get(data.train, keys, lambda: _by_newton(objective, data))
    return (
        None if known is None else Minimum(known[0], baseline_loss(loss, objective, data), known[1])
    )


def baseline_loss(loss: Loss, objective: Objective, data: Dataset) -> float:
    """Return the mean predictor's loss over the training rows."""
    key = [settings_key(loss), "mean predictor"]
    return _baselines.get(data.train, key, lambda: _baseline(loss, objective, data.train))


@torch.no_grad()
def _baseline(loss: Loss, objective: Objective, train: Rows) -> float:
    """Return the lowest loss of equal outputs for all rows, by Newton's method if smooth."""
    rows = objective.encode(train)
    encoded, (y, weights) = rows.targets, objective.split_targets(rows.targets)
    columns = int(y.max()) + 1 if y.ndim == 1 else y.shape[1]

    def value(outputs: Tensor) -> Tensor:
        targets = encoded.to(outputs.dtype) if encoded.is_floating_point() else encoded
        return objective.mean_loss(outputs.expand(len(y), columns), targets)

    zero = torch.zeros(columns, dtype=torch.float64, device=y.device)
    candidates = [zero, zero + 1, zero - 1]
    if y.ndim == 2:
        shares = torch.ones_like(y[:, 0]) if weights is None else weights
        candidates += [shares.double() @ y.double() / len(y), _medians(y.double(), shares)]
    lowest, accuracy = min(candidates, key=lambda outputs: float(value(outputs))), 1e-6
    if not is_built_in(loss):  # in float64 it may be another function
        own = lowest.to(rows.features.dtype)
        size = abs(float(value(own)))
        if not abs(float(value(lowest)) - size) <= ALIKE * size:
            lowest, accuracy = own, 1e-4
    if (
        loss.curved
        and (solution := minimize(value, lowest, accuracy=accuracy, most=100)) is not None
    ):
        return solution[1]
    return float(value(lowest))


def _medians(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted median of each column of values (rows, columns)."""
    ordered, order = values.sort(dim=0)
    below = weights.double()[order].cumsum(dim=0)
    at = (below < below[-1] / 2).sum(dim=0, keepdim=True)
    return ordered.gather(0, at)[0]


def _by_newton(objective: Objective, data: Dataset) -> tuple[float, bool] | None:
    """Return the minimum and whether it is attained; None if it takes long, or fails."""
    model: Any = objective.model
    size = sum(p.numel() for p in model.parameters())
    products = int(WORK / (data.rows * size))
    if products < 20:
        return None
    value, start = flat(objective, objective.encode(data.train))
    separates = _separation(objective, data)
    solution = minimize(
        value, start, accuracy=ACCURACY, most=min(products, MOST_PRODUCTS), stop=separates
    )
    if solution is None:
        return None
    return (0.0, False) if separates(solution[0]) else (solution[1], True)


def flat(objective: Objective, rows: Rows) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return an objective as a function of a vector in float64, and the vector zero.

    Args:
        objective: whose trained parameters are the vector, in their order.
        rows: encoded.
    """
    named = {n: p for n, p in objective.model.named_parameters() if p.requires_grad}
    function = TypedObjective(objective, named, rows, torch.float64)
    sizes = [p.numel() for p in named.values()]

    def value(vector: Tensor) -> Tensor:
        parts = torch.split(vector, sizes)
        parameters = {
            name: part.view_as(p) for (name, p), part in zip(named.items(), parts, strict=True)
        }
        return function(parameters)

    like = next(iter(named.values()))
    return value, torch.zeros(sum(sizes), dtype=torch.float64, device=like.device)


def _separation(objective: Objective, data: Dataset) -> Callable[[Tensor], bool]:
    """Return a check of whether parameters separate the classes without a penalty."""
    loss, model = objective.loss, objective.model
    has_penalty = bool(objective.penalized) and objective.penalty.curvature != 0
    if has_penalty or type(loss) not in (BinaryCrossEntropy, CrossEntropy):
        return lambda _: False
    rows = objective.encode(data.train)
    x = model.design(rows.features).double()  # type: ignore[operator]
    y, _ = objective.split_targets(rows.targets)
    outputs, columns = model.weight.shape  # type: ignore[misc]

    @torch.no_grad()
    def separates(vector: Tensor) -> bool:
        z = x @ vector[: outputs * columns].view(outputs, columns).T
        if len(vector) > outputs * columns:
            z = z + vector[outputs * columns :]
        if type(loss) is BinaryCrossEntropy:
            return bool((y.double() * z > 0).all())
        right = z.gather(1, y.view(-1, 1).long())
        others = z.scatter(1, y.view(-1, 1).long(), -torch.inf).amax(dim=1, keepdim=True)
        return bool((right > others).all())

    return separates
