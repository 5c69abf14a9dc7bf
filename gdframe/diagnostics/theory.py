"""What theory says of a convex run: the minimum there is, and how fast the rule gets there.

Near the minimum a linear rule sends every eigenvector's share of the error to ``rho(c)`` times
itself in a step, with ``c`` the curvature along it and ``rho`` the rule's spectral radius there.
The slowest direction counts in the end, so that ``f - f*`` shrinks by ``max rho(c)^2`` a step.

Source: Polyak, "Introduction to Optimization" (1987), chapters 1 to 3; for logistic regression the
minimum is found by Newton's method (Boyd and Vandenberghe, "Convex Optimization", 2004, 9.5).
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
from gdframe.engines.expansion import penalized_columns
from gdframe.losses.binary_cross_entropy import BinaryCrossEntropy
from gdframe.models.plain import is_linear_in_parameters
from gdframe.objective import Objective

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Theory:
    """The minimum of a convex objective.

    Args:
        minimum: the lowest value.
        curvatures: (columns,) eigenvalues of the Hessian there, ascending; flat ones left out.
    """

    minimum: float
    curvatures: Array

    @property
    def condition_number(self) -> float:
        """Largest over smallest curvature."""
        return float(self.curvatures[-1] / self.curvatures[0]) if len(self.curvatures) else 1.0

    def rate(self, rule: LinearRule) -> float:
        """Return the factor by which ``f - f*`` shrinks with a full-batch step, in the end."""
        return float(rule.radii(self.curvatures).max() ** 2) if len(self.curvatures) else 0.0


def theory_of(objective: Objective, data: Dataset) -> Theory | None:
    """Return the minimum of least squares or of regularised logistic regression.

    None for another objective, and where finding it would take long.
    """
    if (quadratic := least_squares(objective, data)) is not None:
        return Theory(quadratic.minimum, quadratic.curved)
    model: Any = objective.model
    if (
        not is_linear_in_parameters(model)
        or type(objective.loss) is not BinaryCrossEntropy
        or not objective.penalized
        or not objective.penalty.curvature
    ):
        return None
    columns = model.weight.shape[1] + (model.bias is not None)
    if 20.0 * data.rows * columns**2 > CHEAP:
        return None
    rows = objective.encode(data.train)
    x: Tensor = model.design(rows.features.double())
    if model.bias is not None:
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    chosen = penalized_columns(objective, columns).to(x.device)
    return _logistic(x, rows.targets[:, 0].double(), objective.penalty.curvature * chosen)


def _logistic(x: Tensor, y: Tensor, strength: Tensor) -> Theory:
    """Return the minimum of ``mean log(1 + exp(-y x.w)) + sum(strength * w^2)``, y in {-1, 1}."""

    def value(w: Tensor) -> float:
        loss = torch.nn.functional.softplus(-y * (x @ w)).mean()
        return float(loss + (strength * w * w).sum())

    w = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    best = value(w)
    while True:
        p = torch.sigmoid(-y * (x @ w))
        slope = -(y * p) @ x / len(x) + 2 * strength * w
        hessian = (x * (p * (1 - p))[:, None]).T @ x / len(x) + torch.diag(2 * strength)
        step = torch.linalg.lstsq(hessian, slope).solution
        decrement, length = float(slope @ step), 1.0
        while value(w - length * step) > best - 0.25 * length * decrement and length > 1e-6:
            length /= 2
        found = value(w - length * step)
        if not found < best or decrement <= 1e-15 * abs(best):
            break
        w, best = w - length * step, found
    curvatures = torch.linalg.eigvalsh(hessian).cpu().numpy()
    kept = curvatures > curvatures[-1] * len(curvatures) * np.finfo(np.float64).eps
    return Theory(best, curvatures[kept])


def measured_rate(objective: Array, minimum: float) -> float | None:
    """Return the factor by which ``f - f*`` shrank in an epoch, over the later half of a run.

    None where there is too little to measure: few epochs, or a gap that is rounding.

    Args:
        objective: by epoch.
        minimum: the lowest value.

    Example:
        >>> round(measured_rate(2 + 0.9 ** np.arange(50.0), 2.0), 6)
        0.9
    """
    gap = np.asarray(objective) - minimum
    rounding = 1e-9 * max(abs(minimum), 1e-300)
    below = np.flatnonzero(gap <= rounding)
    gap = gap[: int(below[0]) if len(below) else len(gap)]
    late = gap[len(gap) // 2 :]
    if len(late) < 5:
        return None
    slope = float(np.polyfit(np.arange(len(late)), np.log(late), 1)[0])
    return math.exp(slope)
