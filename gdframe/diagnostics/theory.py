"""The minimum of a convex objective, and the convergence rate that theory predicts.

Near the minimum, a step of a linear update rule multiplies the error along an eigenvector by
``rho(c)``: the rule's spectral radius at the curvature ``c`` along that eigenvector. The slowest
direction dominates in the end, so ``f - f*`` shrinks by ``max rho(c)^2`` a step.

Sources: Polyak, "Introduction to Optimization" (1987), chapters 1 to 3; Newton's method for
logistic regression: Boyd and Vandenberghe, "Convex Optimization" (2004), section 9.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.least_squares import CHEAP, least_squares
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.engines.expansion import penalized_columns, why_not_quadratic_penalty
from gdframe.engines.probe import is_linear
from gdframe.losses.binary_cross_entropy import BinaryCrossEntropy
from gdframe.objective import Objective

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Theory:
    """The minimum of a convex objective.

    Args:
        minimum: of the objective.
        curvatures: (columns,) eigenvalues of the Hessian at the minimum above 0, ascending.
    """

    minimum: float
    curvatures: Array

    @property
    def condition_number(self) -> float:
        """Largest over smallest curvature."""
        return float(self.curvatures[-1] / self.curvatures[0]) if len(self.curvatures) else 1.0

    def rate(self, rule: LinearRule) -> float:
        """Return the asymptotic factor by which a full-batch step multiplies ``f - f*``."""
        return float(rule.radii(self.curvatures).max() ** 2) if len(self.curvatures) else 0.0


def theory_of(objective: Objective, data: Dataset) -> Theory | None:
    """Return the minimum of least squares or of regularised logistic regression.

    The result is None for other objectives, and if the computation would take long.
    """
    if (quadratic := least_squares(objective, data)) is not None:
        return Theory(quadratic.minimum, quadratic.positive_eigenvalues)
    model: Any = objective.model
    if (
        not is_linear(model, data.train.features)
        or type(objective.loss) is not BinaryCrossEntropy
        or not objective.penalized
        or why_not_quadratic_penalty(objective) is not None
        or not objective.penalty.curvature
    ):
        return None
    columns = model.weight.shape[1] + (model.bias is not None)
    if 20.0 * data.rows * columns**2 > CHEAP:
        return None
    rows = objective.encode(data.train)
    y, weights = objective.split_targets(rows.targets)
    x: Tensor = model.design(rows.features).double()
    if model.bias is not None:
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    penalized = penalized_columns(objective, columns).to(x.device)
    sizes = torch.ones_like(x[:, 0]) if weights is None else weights.double()
    return _logistic(x, y[:, 0].double(), sizes, objective.penalty.curvature * penalized)


def _logistic(x: Tensor, y: Tensor, sizes: Tensor, strength: Tensor) -> Theory:
    """Return the minimum of ``mean(sizes log(1 + exp(-y x.w))) + sum(strength * w^2)``.

    Args:
        x: (rows, columns).
        y: (rows,) -1 or 1.
        sizes: (rows,) weights with mean 1.
        strength: (columns,) of the penalty.
    """

    def evaluate(w: Tensor) -> float:
        loss = (sizes * torch.nn.functional.softplus(-y * (x @ w))).mean()
        return float(loss + (strength * w * w).sum())

    w = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    lowest = evaluate(w)
    while True:
        p = torch.sigmoid(-y * (x @ w))
        slope = -(sizes * y * p) @ x / len(x) + 2 * strength * w
        curvature = sizes * p * (1 - p)
        hessian = (x * curvature[:, None]).T @ x / len(x) + torch.diag(2 * strength)
        step = torch.linalg.lstsq(hessian, slope).solution
        decrement, length = float(slope @ step), 1.0
        while evaluate(w - length * step) > lowest - 0.25 * length * decrement and length > 1e-6:
            length /= 2
        value = evaluate(w - length * step)
        if not value < lowest or decrement <= 1e-15 * abs(lowest):
            break
        w, lowest = w - length * step, value
    curvatures = torch.linalg.eigvalsh(hessian).cpu().numpy()
    is_positive = curvatures > curvatures[-1] * len(curvatures) * np.finfo(np.float64).eps
    return Theory(lowest, curvatures[is_positive])


def measured_rate(objective: Array, minimum: float, epochs: Array) -> float | None:
    """Return the factor by which an epoch multiplied ``f - f*``, over the later half of a run.

    The result is None with too few epochs whose gap is above rounding.

    Args:
        objective: by evaluation.
        minimum: of the objective.
        epochs: the epoch of each evaluation.

    Example:
        >>> epochs = np.arange(50.0)
        >>> round(measured_rate(2 + 0.9 ** epochs, 2.0, epochs), 6)
        0.9
    """
    gap = np.asarray(objective) - minimum
    rounding = 1e-9 * max(abs(minimum), 1e-300)
    below = np.flatnonzero(gap <= rounding)
    gap = gap[: int(below[0]) if len(below) else len(gap)]
    late = slice(len(gap) // 2, len(gap))
    if len(gap[late]) < 5:
        return None
    slope = float(np.polyfit(epochs[late], np.log(gap[late]), 1)[0])
    return math.exp(slope)
