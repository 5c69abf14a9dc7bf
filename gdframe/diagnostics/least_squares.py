"""What least squares with a quadratic penalty tell exactly: curvature, minimum, stability.

The objective is ``SSE(w) / terms + strength * |w|^2``, so its Hessian is the same everywhere:
``2 XᵀX / terms + 2 strength D``, once for each output, with D the penalised columns.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows
from gdframe.engines.expansion import blocks_of, expand, penalized_columns, why_not_quadratic
from gdframe.objective import Objective

Array = NDArray[np.float64]

CHEAP = 2e9
"""Products that a pass over the data may take: about a second on one core."""

_kept: dict[int, dict[Any, LeastSquares]] = {}


@dataclass(frozen=True)
class LeastSquares:
    """The quadratic that an objective is.

    Args:
        eigenvalues: (columns,) of the Hessian, ascending; every output has the same.
        vectors: (columns, columns) its eigenvectors, as columns.
        minimum: the lowest objective there is.
        solution: (outputs, columns) where it is; the one nearest to zero where there are more.
        rows: encoded training rows.
        design: what makes columns of features, the bias's apart.
        bias: whether there is a column of ones.
        outputs: of the model.
        penalty: (columns,) the diagonal that the penalty adds to the Hessian.
    """

    eigenvalues: Array
    vectors: Array
    minimum: float
    solution: Array
    rows: Rows
    design: Any
    bias: bool
    outputs: int
    penalty: Array

    @property
    def largest(self) -> float:
        """The largest curvature."""
        return float(self.eigenvalues[-1])

    @property
    def smallest(self) -> float:
        """The smallest curvature; zero, but for rounding, where the minimum is not one point."""
        return float(self.eigenvalues[0])

    @property
    def curved(self) -> Array:
        """Curvatures above rounding: those of directions in which there is something to gain."""
        rounding = self.eigenvalues[-1] * len(self.eigenvalues) * np.finfo(np.float64).eps
        found: Array = self.eigenvalues[self.eigenvalues > rounding]
        return found

    @property
    def condition_number(self) -> float:
        """Largest over smallest curvature, flat directions left out."""
        return float(self.curved[-1] / self.curved[0]) if len(self.curved) else 1.0

    def noisy_limit(self, batch_size: int) -> float:
        """Return the learning rate below which batches contract in mean square.

        With H_B the Hessian over a batch, E |(I - lr H_B) e|^2 < |e|^2 for every e in the range of
        H if and only if ``lr < 2 / lambda_max(H^-1/2 E[H_B^2] H^-1/2)``. Of all rows it is the
        familiar ``2 / lambda_max(H)``; noise makes it smaller.

        Args:
            batch_size: rows of a batch, drawn without replacement.
        """
        if batch_size not in self._limits:
            self._limits[batch_size] = self._noisy_limit(batch_size)
        return self._limits[batch_size]

    def _noisy_limit(self, batch_size: int) -> float:
        rows = len(self.rows)
        share = (rows - batch_size) / max(1, rows - 1) / batch_size
        kept = self.eigenvalues > self.eigenvalues[-1] * len(self.eigenvalues) * 1e-14
        values, vectors = self.eigenvalues[kept], self.vectors[:, kept]
        data = self.vectors * self.eigenvalues @ self.vectors.T - np.diag(self.penalty)
        spread = vectors.T @ (self._second_moment - data @ data) @ vectors
        square = np.diag(values**2) + share * spread
        half = 1 / np.sqrt(values)
        top = float(np.linalg.eigvalsh(half[:, None] * square * half)[-1])
        return 2 / top if top > 0 else np.inf

    def epochs_to_go(self, point: Array, factors: Array, tolerance: float) -> float | None:
        """Return after how many epochs descent improves no more.

        Args:
            point: (outputs, columns) where it stands.
            factors: by which an epoch shrinks the gap to the minimum along each eigenvector: of
                full batches and gradient descent ``(1 - lr * c_i)^2``.
            tolerance: improvement of an epoch, relative to the objective, that counts as none.
        """
        along = ((point - self.solution) @ self.vectors) ** 2
        gaps = along.sum(axis=0) * self.eigenvalues / 2
        if (factors > 1).any():
            return None

        def improves(epochs: float) -> bool:
            left = gaps * factors**epochs
            fall = float((left * (1 - factors)).sum())
            return fall > tolerance * (self.minimum + float(left.sum()))

        if not improves(0):
            return None
        high = 1.0
        while improves(high) and high < 1e12:
            high *= 2
        low = high / 2
        while high - low > 0.01 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if improves(middle) else (low, middle)
        return high

    @cached_property
    def _limits(self) -> dict[int, float]:
        return {}

    @cached_property
    def _second_moment(self) -> Array:
        """The mean over rows of the square of a row's Hessian, without penalty."""
        total: Tensor | float = 0.0
        for features, _ in blocks_of(self.rows):
            x = self.design(features.double())
            if self.bias:
                x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
            total = total + (x * x.square().sum(dim=1, keepdim=True)).T @ x
        assert isinstance(total, Tensor)
        found: Array = (4 / self.outputs**2 / len(self.rows) * total).cpu().numpy()
        return found


def least_squares(objective: Objective, data: Dataset) -> LeastSquares | None:
    """Return the quadratic that an objective is over training rows; None if it is none.

    None also where finding it would take long. What was found is kept as long as the data are.
    """
    if data.task != "regression" or why_not_quadratic(objective) is not None:
        return None
    model: Any = objective.model
    columns = model.weight.shape[1] + (model.bias is not None)
    if float(data.rows) * columns**2 > CHEAP or columns > 2000:
        return None
    penalized = penalized_columns(objective, columns).numpy()
    strength = (objective.penalty.curvature or 0.0) if objective.penalized else 0.0
    features = data.train.features
    if id(features) not in _kept:
        _kept[id(features)] = {}
        weakref.finalize(features, _kept.pop, id(features), None)
    # a penalty of strength zero is none
    key = (type(model), columns, model.bias is not None, strength, tuple(penalized * strength))
    kept = _kept[id(features)]
    if key not in kept:
        kept[key] = _find(objective, data, strength * penalized)
    return kept[key]


def _find(objective: Objective, data: Dataset, penalty: Array) -> LeastSquares:
    model: Any = objective.model
    rows, bias = objective.encode(data.train), model.bias is not None
    about = expand(model, rows, bias=bias, dtype=torch.float64)
    gram = torch.as_tensor(about.gram).cpu().numpy() / about.terms
    reference = torch.as_tensor(about.reference).cpu().numpy()
    slope = torch.as_tensor(about.slope).cpu().numpy() / about.terms
    hessian = gram + np.diag(penalty)  # half of it
    off = -(slope + reference * penalty) @ np.linalg.pinv(hessian, hermitian=True)
    value = about.error / about.terms + float(((off @ gram + 2 * slope) * off).sum())
    values, vectors = np.linalg.eigh(2 * hessian)
    return LeastSquares(
        eigenvalues=values,
        vectors=vectors,
        minimum=value + float((penalty * (reference + off) ** 2).sum()),
        solution=reference + off,
        rows=rows,
        design=model.design,
        bias=bias,
        outputs=rows.targets.shape[1],
        penalty=2 * penalty,
    )
