"""Exact curvature, minimum and stability of least squares with a quadratic penalty.

The objective is ``SSE(w) / terms + strength * |w|^2``, so its Hessian is constant:
``2 XᵀX / terms + 2 strength D``, once for each output. D is 1 for penalised columns, else 0.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import relative
from gdframe.diagnostics.cache_key import RowsCache, settings_key
from gdframe.diagnostics.linear_rule import DIGITS, LinearRule
from gdframe.diagnostics.mean_square import BatchNoise, shares_of
from gdframe.engines.expansion import expand, penalized_columns, why_not_quadratic
from gdframe.engines.probe import is_linear
from gdframe.hidden_state import undisturbed
from gdframe.objective import Objective

Array = NDArray[np.float64]

PRODUCTS = 3e7
"""Most products of two numbers for an iteration that finds the stability limit of batches."""

ROWS_PER_DIRECTION = 50
"""Fewest rows for each direction if the noise of batches is measured on a part of the rows."""

CHEAP = 2e9
"""Most multiplications over the data: about a second on one core."""

_cache: RowsCache[LeastSquares] = RowsCache(256)


@dataclass(frozen=True)
class LeastSquares:
    """An objective that is a quadratic function of the parameters.

    Args:
        eigenvalues: (columns,) of the Hessian of one output, ascending.
        vectors: (columns, columns) its eigenvectors, as columns.
        minimum: of the objective.
        solution: (outputs, columns) the parameters at the minimum; the shortest if not unique.
        features: refers to the training features (rows, features), and does not keep them alive.
        weights: refers likewise to the weights of the training rows (rows,); None without any.
        rows: number of training rows.
        design: returns the columns of features, without the column of the bias.
        has_bias: whether there is a column of ones.
        outputs: number of the model's outputs.
    """

    eigenvalues: Array
    vectors: Array
    minimum: float
    solution: Array
    features: weakref.ref[Tensor]
    weights: weakref.ref[Tensor] | None
    rows: int
    design: Any
    has_bias: bool
    outputs: int

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.eigenvalues[-1])

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue; zero, up to rounding, if the minimum is not unique."""
        return float(self.eigenvalues[0])

    @property
    def positive_eigenvalues(self) -> Array:
        """Eigenvalues above rounding."""
        rounding = self.eigenvalues[-1] * len(self.eigenvalues) * np.finfo(np.float64).eps
        values: Array = self.eigenvalues[self.eigenvalues > rounding]
        return values

    @property
    def condition_number(self) -> float:
        """Largest over smallest positive eigenvalue."""
        values = self.positive_eigenvalues
        return float(values[-1] / values[0]) if len(values) else 1.0

    def gap(self, parameters: Mapping[str, Tensor]) -> float:
        """Return how far the objective at parameters is above its minimum."""
        distances = (point_of(parameters) - self.solution) @ self.vectors
        return float(((distances**2).sum(axis=0) * self.eigenvalues).sum() / 2)

    def noisy_limit(self, rule: LinearRule, batch_size: int) -> float | None:
        """Return the learning rate up to which a rule's error stays bounded in mean square.

        The result is None if it is unknown, or if the computation would take long.

        Args:
            rule: the update rule.
            batch_size: rows of a batch, drawn without replacement, below ``rows``.
        """
        key = (rule.key, rule.product, batch_size)
        if key not in self._limits:
            noise = self._noise(batch_size)
            scale = None if noise is None else noise.limit(rule)
            self._limits[key] = None if scale is None else float(f"{scale * rule.lr:.{DIGITS}g}")
        return self._limits[key]

    def is_on_part(self, batch_size: int) -> bool:
        """Return whether the noise of batches is measured on a part of the rows."""
        directions = len(self.positive_eigenvalues)
        return self._most_rows(directions, len(shares_of(self.rows, batch_size))) < self.rows

    @staticmethod
    def _most_rows(directions: int, shares: int) -> int:
        return int(PRODUCTS / (max(directions, 1) ** 2 * shares))

    def _noise(self, batch_size: int) -> BatchNoise | None:
        """Return the noise of batches, by evenly spaced rows if there are many."""
        is_positive = self.eigenvalues > self.eigenvalues[-1] * len(self.eigenvalues) * 1e-14
        directions = int(is_positive.sum())
        shares = shares_of(self.rows, batch_size)
        most = self._most_rows(directions, len(shares))
        if most < min(self.rows, ROWS_PER_DIRECTION * directions):
            return None
        features, stride = self.features(), -(-self.rows // most)
        weights = self.weights() if self.weights is not None else None
        assert features is not None, "the data of a run outlives its diagnostics"
        assert (weights is None) == (self.weights is None), "so do its weights"
        x = self.design(features[::stride]).double()
        if self.has_bias:
            x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        if weights is not None:
            x = x * relative(weights)[::stride, None].sqrt()
        return BatchNoise(
            features=x.cpu().numpy() @ self.vectors[:, is_positive],
            eigenvalues=self.eigenvalues[is_positive],
            factor=2 / self.outputs,
            shares=shares,
        )

    def epochs_to_go(
        self, point: Array, factors: Array, tolerance: float, near: float, spacing: Array
    ) -> float | None:
        """Return after how many epochs a run converges; None if not known, or if it has.

        Args:
            point: (outputs, columns) current parameters.
            factors: (columns,) by which an epoch shrinks the gap along each eigenvector. For
                gradient descent with full batches it is ``(1 - lr * c_i)^2``.
            tolerance: largest relative improvement of an epoch that counts as no improvement.
            near: largest gap to the minimum at which a run converges.
            spacing: (outputs, columns) distance from each value of the solution to the next in the
                run's type: smaller updates than half of it are rounded away.
        """
        distances = (point - self.solution) @ self.vectors
        squares = distances**2
        gaps = squares.sum(axis=0) * self.eigenvalues / 2
        if (factors > 1).any():
            return None

        def improves(epochs: float) -> bool:
            remaining = gaps * factors**epochs
            decrease = float((remaining * (1 - factors)).sum())
            gap = float(remaining.sum())
            updates = (distances * factors ** (epochs / 2) * (1 - factors**0.5)) @ self.vectors.T
            is_moving = bool((np.abs(updates) > spacing / 2).any())
            return gap > near or (is_moving and decrease > tolerance * (self.minimum + gap))

        if not improves(0):
            return None
        high = 1.0
        while improves(high) and high < 1e15:
            high *= 2
        low = high / 2
        while high - low > 0.01 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if improves(middle) else (low, middle)
        return high

    @cached_property
    def _limits(self) -> dict[Any, float | None]:
        return {}


def point_of(parameters: Mapping[str, Tensor]) -> Array:
    """Return the parameters of a linear model as one array (outputs, columns), its bias last."""
    parts = [value.detach().double().cpu().numpy() for value in parameters.values()]
    return np.column_stack([parts[0], *(part[:, None] for part in parts[1:])])


def least_squares(objective: Objective, data: Dataset) -> LeastSquares | None:
    """Return an objective over the training rows as a quadratic; None if it is not quadratic.

    The result is None too if a parameter is frozen, or if the computation would take long. Results
    are cached until the data is freed.
    """
    if data.task != "regression" or why_not_quadratic(objective) is not None:
        return None
    model: Any = objective.model
    if not all(p.requires_grad for p in model.parameters()):
        return None
    columns = model.weight.shape[1] + (model.bias is not None)
    if float(data.rows) * columns**2 > CHEAP or columns > 2000:
        return None
    if not is_linear(model, data.train.features):
        return None
    penalized = penalized_columns(objective, columns).numpy()
    strength = (objective.penalty.curvature or 0.0) if objective.penalized else 0.0
    # penalties of strength zero share one entry
    keys = [settings_key(model), settings_key(objective.loss), tuple(penalized * strength)]
    return _cache.get(data.train, keys, lambda: _compute(objective, data, strength * penalized))


def _compute(objective: Objective, data: Dataset, penalty: Array) -> LeastSquares:
    model: Any = objective.model
    rows, has_bias = objective.encode(data.train), model.bias is not None
    with undisturbed(model=model):
        expansion = expand(model, rows, bias=has_bias, dtype=torch.float64)
    gram = torch.as_tensor(expansion.gram).cpu().numpy() / expansion.terms
    reference = torch.as_tensor(expansion.reference).cpu().numpy()
    slope = torch.as_tensor(expansion.slope).cpu().numpy() / expansion.terms
    half_hessian = gram + np.diag(penalty)
    offset = -(slope + reference * penalty) @ np.linalg.pinv(half_hessian, hermitian=True)
    loss = expansion.error / expansion.terms + float(((offset @ gram + 2 * slope) * offset).sum())
    values, vectors = np.linalg.eigh(2 * half_hessian)
    return LeastSquares(
        eigenvalues=values,
        vectors=vectors,
        minimum=loss + float((penalty * (reference + offset) ** 2).sum()),
        solution=reference + offset,
        features=weakref.ref(rows.features),
        weights=None if rows.weights is None else weakref.ref(rows.weights),
        rows=len(rows),
        design=model.design,
        has_bias=has_bias,
        outputs=len(model.weight),
    )
