"""The squared error of a linear model over all rows, exactly, from XᵀX.

About any point r it is

    SSE(w) = SSE(r) + 2 p . (w - r) + (w - r) . A (w - r),   A = XᵀX,   p = Xᵀ(X r - y)

with X the features and, for the bias, a column of ones. Taken about the least-squares solution, SSE
and gradient lose nothing to cancellation where they are small. All that is kept is in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Rows
from gdframe.engines.declared import declares
from gdframe.losses.mse import MSE
from gdframe.models.plain import is_linear_in_parameters
from gdframe.objective import Objective

WIDE = 512
"""Columns beyond which it takes long to find out what single precision would do."""

BLOCK = 1 << 19
"""Values of X multiplied at a time."""

LANE = 8
"""Columns that are multiplied side by side: of a width that is a multiple, products are faster."""

Array: TypeAlias = Any
"""A NumPy array on the CPU, where small products start sooner; a tensor on a GPU."""


@dataclass(frozen=True)
class Expansion:
    """The squared error over rows, about ``reference``; all arrays are of float64.

    Args:
        gram: (columns, columns) XᵀX.
        reference: (outputs, columns) the point.
        slope: (outputs, columns) half the gradient there.
        error: the squared error there.
        terms: number of squared errors: rows times outputs.
    """

    gram: Array
    reference: Array
    slope: Array
    error: float
    terms: int

    def at(self, points: Array) -> tuple[Array, Array]:
        """Return squared errors and half their gradients at points (runs, outputs, columns)."""
        off = points - self.reference
        slope = off @ self.gram + self.slope
        return dots(off, slope + self.slope) + self.error, slope

    def moved(self, reference: Array) -> Expansion:
        """Return the same expansion about another point."""
        (error,), (slope,) = self.at(reference[None])
        return replace(self, reference=reference, slope=slope, error=max(float(error), 0.0))

    def rounding(self, eps: float) -> float:
        """Return how large an error in A of ``eps |A|`` may show, relative to the squared error.

        On the way from zero to the solution r, as long as the part of r along an eigenvector v is
        missing, the squared error holds ``(r.v)^2 v.A v``, and its rounding ``eps |A| (r.v)^2``.
        """
        gram, point = (torch.as_tensor(a) for a in (self.gram, self.reference))
        if len(gram) > WIDE:
            return float("inf")
        values, vectors = torch.linalg.eigh(gram)
        missing = (point @ vectors).square().sum(dim=0) + 1.0  # a start is not quite at zero
        left = self.error + values.clamp(min=0.0) * missing
        wrong = eps * values[-1] * missing
        return float((wrong / left.clamp(min=1e-300)).max())

    def magnification(self) -> float:
        """Return |A| |r| / |A r|: how much larger than the gradient at zero its terms are."""
        gram, point = (torch.as_tensor(a) for a in (self.gram, self.reference))
        pull = float(torch.linalg.norm(point @ gram))
        size = float(torch.linalg.norm(gram, ord=2) * torch.linalg.norm(point))
        return size / pull if pull > 0 else 1.0


def dots(first: Array, second: Array) -> Array:
    """Return the sum of products of each run's entries, (runs,), of two arrays (runs, ...)."""
    runs = len(first)
    return (first.reshape(runs, 1, -1) @ second.reshape(runs, -1, 1)).reshape(runs)


def blocks_of(rows: Rows) -> list[tuple[Tensor, Tensor]]:
    """Cut rows into blocks of features and targets that stay in the cache."""
    size = max(1024, BLOCK // max(1, rows.features.shape[1]))
    return list(zip(torch.split(rows.features, size), torch.split(rows.targets, size), strict=True))


def as_array(tensor: Tensor) -> Array:
    """Return a tensor as a NumPy array, where it is on the CPU."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


@torch.no_grad()
def expand(
    model: nn.Module,
    rows: Rows,
    *,
    bias: bool,
    reference: Array | None = None,
    dtype: torch.dtype | None = None,
) -> Expansion:
    """Return the expansion of the squared error, in one pass over the rows.

    Within a block, products are summed in ``dtype``, over blocks in float64.

    Args:
        model: whose design is X.
        rows: features and targets.
        bias: whether X has a column of ones.
        reference: the point; by default the least-squares solution, which the pass finds by
            starting from that of a sample of rows.
        dtype: by default that of the data.
    """
    design: Any = model.design
    dtype = dtype or rows.features.dtype
    if reference is None:
        stride = max(1, len(rows) // max(1024, 8 * rows.features.shape[1]))
        x, y = design(rows.features[::stride]).double(), rows.targets[::stride].double()
        if bias:
            x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        first = y.T @ x @ pseudo_inverse(x.T @ x)
    else:
        first = torch.as_tensor(reference)
    near = first.to(dtype)
    outputs, columns = near.shape
    width, used = columns - bias, columns + outputs
    padded = -(-used // LANE) * LANE
    blocks = blocks_of(rows)
    # features, ones for the bias, residuals: all that is to be known are their products
    wide = torch.zeros(len(blocks[0][0]), padded, dtype=dtype, device=near.device)
    wide[:, width:columns] = 1.0
    total = torch.zeros(padded, padded, dtype=torch.float64, device=near.device)
    weights = near.T.contiguous()
    for features, targets in blocks:
        block = wide[: len(features)]
        block[:, :width] = design(features.to(dtype))
        torch.sub(block[:, :columns] @ weights, targets.to(dtype), out=block[:, columns:used])
        total += block.T @ block
    gram, slope = total[:columns, :columns], total[columns:used, :columns]
    error = total[columns:, columns:].trace()
    found = Expansion(
        gram=as_array(gram.contiguous()),
        reference=as_array(near.double()),
        slope=as_array(slope.contiguous()),
        error=float(error),
        terms=rows.targets.numel(),
    )
    if reference is None:
        reference = as_array(near.double() - slope @ pseudo_inverse(gram))
    return found.moved(reference)


def pseudo_inverse(gram: Tensor) -> Tensor:
    """Return the pseudo-inverse of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(gram)
    kept = values > values[-1].clamp(min=0.0) * len(gram) * torch.finfo(gram.dtype).eps
    inverse = torch.where(kept, 1.0 / torch.where(kept, values, 1.0), 0.0)
    found: Tensor = (vectors * inverse) @ vectors.T
    return found


def why_not_quadratic(objective: Objective) -> str | None:
    """Say why an objective is not least squares with a quadratic penalty, or None."""
    model, loss, penalty = objective.model, objective.loss, objective.penalty
    if not is_linear_in_parameters(model):
        return f"its model ({type(model).__name__}) is not linear in its parameters"
    if loss is None or type(loss).__call__ is not MSE.__call__:
        return "its loss is not the mean squared error: loss=mse"
    if objective.penalized and not declares(penalty, "curvature", "value"):
        return f"its penalty ({type(penalty).__name__}) is not quadratic: penalty=l2 or none"
    return None


def penalized_columns(objective: Objective, columns: int) -> Tensor:
    """Return one for each column of X whose parameter is penalised, else zero, (columns,)."""
    model: Any = objective.model
    width = columns - (model.bias is not None)
    chosen = torch.zeros(columns, dtype=torch.float64)
    chosen[:width] = any(p is model.weight for p in objective.penalized)
    chosen[width:] = any(p is model.bias for p in objective.penalized)
    return chosen
