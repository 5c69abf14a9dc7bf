"""The squared error of a linear model over all rows, exactly, from XᵀX.

Expanded about any point r, it is

    SSE(w) = SSE(r) + 2 p . (w - r) + (w - r) . A (w - r),   A = XᵀX,   p = Xᵀ(X r - y)

with X the features and, for the bias, a column of ones. Expanded about the least-squares solution,
SSE and gradient suffer no cancellation where they are small. All arrays are in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from gdframe.data.rows import Rows
from gdframe.engines.declared import declares
from gdframe.engines.functional import are_parameters
from gdframe.engines.kernel_checks import KernelError, check_penalty
from gdframe.errors import first_line
from gdframe.hidden_state import undisturbed
from gdframe.losses.mse import MSE
from gdframe.models.plain import is_linear_in_parameters
from gdframe.objective import Objective
from gdframe.registry import is_built_in

WIDE = 512
"""Most columns for which the rounding of single precision is computed; more would take long."""

BLOCK = 1 << 19
"""Values of X multiplied at a time."""

LANE = 8
"""Columns that the processor multiplies at once; products of a multiple of it are faster."""

Array: TypeAlias = Any
"""A NumPy array on the CPU, where calls on small arrays are cheaper; a tensor on a GPU."""


@dataclass(frozen=True)
class Expansion:
    """The squared error over rows, expanded about ``reference``; all arrays are in float64.

    Args:
        gram: XᵀX, (columns, columns).
        reference: the point of the expansion, (outputs, columns).
        slope: half the gradient at the point, (outputs, columns).
        error: the squared error at the point.
        terms: number of squared errors: rows times outputs.
    """

    gram: Array
    reference: Array
    slope: Array
    error: float
    terms: int

    def at(self, points: Array) -> tuple[Array, Array]:
        """Return squared errors and half their gradients at points (runs, outputs, columns)."""
        offset = points - self.reference
        slope = offset @ self.gram + self.slope
        return dots(offset, slope + self.slope) + self.error, slope

    def moved(self, reference: Array) -> Expansion:
        """Return the same expansion about another point."""
        (error,), (slope,) = self.at(reference[None])
        return replace(self, reference=reference, slope=slope, error=max(float(error), 0.0))

    def rounding(self, eps: float) -> float:
        """Return the largest relative change of the squared error by an error ``eps |A|`` in A.

        The path leads from zero to the solution r. While the part of r along an eigenvector v is
        missing, the squared error contains ``(r.v)^2 v.A v``, and its rounding
        ``eps |A| (r.v)^2``.
        """
        gram, point = (torch.as_tensor(a) for a in (self.gram, self.reference))
        if len(gram) > WIDE:
            return float("inf")
        values, vectors = torch.linalg.eigh(gram)
        missing = (point @ vectors).square().sum(dim=0) + 1.0  # runs start near zero, not at it
        left = self.error + values.clamp(min=0.0) * missing
        wrong = eps * values[-1] * missing
        return float((wrong / left.clamp(min=1e-300)).max())

    def magnification(self) -> float:
        """Return |A| |r| / |A r|, the magnification of rounding in the gradient at zero."""
        gram, point = (torch.as_tensor(a) for a in (self.gram, self.reference))
        pull = float(torch.linalg.norm(point @ gram))
        size = float(torch.linalg.norm(gram, ord=2) * torch.linalg.norm(point))
        return size / pull if pull > 0 else 1.0


def dots(first: Array, second: Array) -> Array:
    """Return each run's dot product, (runs,), of two arrays (runs, ...)."""
    runs = len(first)
    return (first.reshape(runs, 1, -1) @ second.reshape(runs, -1, 1)).reshape(runs)


def blocks_of(rows: Rows) -> list[tuple[Tensor, Tensor]]:
    """Return rows cut into blocks of features and targets that fit the cache."""
    size = max(1024, BLOCK // max(1, rows.features.shape[1]))
    return list(zip(torch.split(rows.features, size), torch.split(rows.targets, size), strict=True))


def split_weights(targets: Tensor, outputs: int) -> tuple[Tensor, Tensor | None]:
    """Return encoded targets (rows, outputs), and the roots of the weights (rows, 1), if any.

    Rows and residuals times the roots have the weighted squared error.
    """
    if targets.shape[1] == outputs:
        return targets, None
    return targets[:, :outputs], targets[:, outputs:].sqrt()


def as_array(tensor: Tensor) -> Array:
    """Return a tensor as a NumPy array if it is on the CPU, else unchanged."""
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

    Products are summed in ``dtype`` within a block, and in float64 over blocks.

    Args:
        model: its design is X.
        rows: features and encoded targets.
        bias: whether X has a column of ones.
        reference: the point of the expansion; by default the least-squares solution, computed from
            the solution for a sample of rows.
        dtype: by default the type of the data.
    """
    design: Any = model.design
    outputs = len(model.weight)  # type: ignore[arg-type]
    dtype = dtype or rows.features.dtype
    if reference is None:
        stride = max(1, len(rows) // max(1024, 8 * rows.features.shape[1]))
        x = design(rows.features[::stride]).double()
        y, roots = split_weights(rows.targets[::stride].double(), outputs)
        if bias:
            x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        if roots is not None:
            x, y = roots * x, roots * y
        first = y.T @ x @ pseudo_inverse(x.T @ x)
    else:
        first = torch.as_tensor(reference)
    point = first.to(dtype)
    columns = point.shape[1]
    width, used = columns - bias, columns + outputs
    padded = -(-used // LANE) * LANE
    blocks = blocks_of(rows)
    # columns are features, ones for the bias, and residuals; their products are all we need
    matrix = torch.zeros(len(blocks[0][0]), padded, dtype=dtype, device=point.device)
    matrix[:, width:columns] = 1.0
    total = torch.zeros(padded, padded, dtype=torch.float64, device=point.device)
    weights = point.T.contiguous()
    for features, targets in blocks:
        block = matrix[: len(features)]
        block[:, :width] = design(features)  # of the data's type: it may have thresholds
        y, roots = split_weights(targets.to(dtype), outputs)
        torch.sub(block[:, :columns] @ weights, y, out=block[:, columns:used])
        if roots is not None:
            total += (roots * block).T @ (roots * block)
            continue
        total += block.T @ block
    gram, slope = total[:columns, :columns], total[columns:used, :columns]
    error = total[columns:, columns:].trace()
    expansion = Expansion(
        gram=as_array(gram.contiguous()),
        reference=as_array(point.double()),
        slope=as_array(slope.contiguous()),
        error=float(error),
        terms=len(rows) * outputs,
    )
    if reference is None:
        reference = as_array(point.double() - slope @ pseudo_inverse(gram))
    return expansion.moved(reference)


def pseudo_inverse(gram: Tensor) -> Tensor:
    """Return the pseudo-inverse of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(gram)
    is_nonzero = values > values[-1].clamp(min=0.0) * len(gram) * torch.finfo(gram.dtype).eps
    inverse = torch.where(is_nonzero, 1.0 / torch.where(is_nonzero, values, 1.0), 0.0)
    result: Tensor = (vectors * inverse) @ vectors.T
    return result


def why_not_quadratic(objective: Objective) -> str | None:
    """Return why an objective is not least squares with a quadratic penalty, or None."""
    model, loss = objective.model, objective.loss
    if not is_linear_in_parameters(model):
        return f"its model ({type(model).__name__}) is not linear in its parameters"
    if loss is None or type(loss).__call__ is not MSE.__call__:
        return "its loss is not the mean squared error: loss=mse"
    return why_not_quadratic_penalty(objective)


def why_not_quadratic_penalty(objective: Objective) -> str | None:
    """Return why the penalty is not ``curvature * sum(w^2)``, as it declares, or None."""
    penalty = objective.penalty
    if not objective.penalized:
        return None
    name = f"its penalty ({type(penalty).__name__})"
    if not declares(penalty, "curvature", "value"):
        return f"{name} is not quadratic: penalty=l2 or none"
    if is_built_in(penalty):
        return None
    if not are_parameters(objective):
        return f"{name} penalises something else than parameters of the model"
    curvature = float(penalty.curvature)  # type: ignore[arg-type]

    def formula(w: Array) -> tuple[Array, Array]:
        return curvature * w * w, 2 * curvature * w

    with undisturbed(model=objective.model, penalty=penalty):
        try:
            check_penalty(objective, "", formula, everywhere=True)
        except KernelError:
            return f"{name} has a curvature that is not half the second derivative of its value"
        except Exception as error:  # a penalty may raise anything
            return f"{name} fails ({first_line(error)})"
    return None


def penalized_columns(objective: Objective, columns: int) -> Tensor:
    """Return 1 for each column of X with a penalised parameter and 0 for others, (columns,)."""
    model: Any = objective.model
    width = columns - (model.bias is not None)
    mask = torch.zeros(columns, dtype=torch.float64)
    mask[:width] = any(p is model.weight for p in objective.penalized)
    mask[width:] = any(p is model.bias for p in objective.penalized)
    return mask
