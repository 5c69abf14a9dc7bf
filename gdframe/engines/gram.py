"""Full-batch least squares from XᵀX: after one pass over the data, no step looks at it again.

About any point r, the squared error is exactly

    SSE(w) = SSE(r) + 2 p . (w - r) + (w - r) . A (w - r),   A = XᵀX,   p = Xᵀ(X r - y)

with X the features and, for the bias, a column of ones. Taken about the least-squares solution, SSE
and gradient lose nothing to cancellation where they are small. All that is kept is in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdframe.data.dataset import Dataset, Rows
from gdframe.engines.base import CannotExecute, Engine, Estimate, Part, Run, Trace
from gdframe.engines.stack import Stack
from gdframe.engines.structure import why_not_pure, why_not_together
from gdframe.loaders.base import Loader
from gdframe.losses.mse import MSE
from gdframe.models.linear import Linear
from gdframe.models.polynomial import Polynomial
from gdframe.objective import Evaluation, Tally
from gdframe.registry import ENGINES

MOST_COLUMNS = 4096
"""Widest XᵀX that is kept: 128 MiB."""

BLOCK = 1 << 19
"""Values of X multiplied at a time."""

CHEAP = 1 << 18
"""Most values of X for which the mean absolute error, which takes the rows, is always measured."""

CONDITION = {torch.float32: 1e9, torch.float64: 1e5}
"""Largest |A| |w*| / |A w*| accepted: how much rounding in A may be magnified in a gradient."""

STEP_SECONDS, WORK_SECONDS, PASS_SECONDS = 80e-6, 0.1e-9, 0.05e-9
"""Of a step, of each product with an entry of A, and of each product while A is built."""


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
        variation: the sum of the targets' squared deviations from their means.
        terms: number of squared errors: rows times outputs.
    """

    gram: Array
    reference: Array
    slope: Array
    error: float
    variation: float
    terms: int

    def at(self, points: Array) -> tuple[Array, Array]:
        """Return squared errors and half their gradients at points (runs, outputs, columns)."""
        off = points - self.reference
        slope = off @ self.gram + self.slope
        return (off * (slope + self.slope)).sum((1, 2)) + self.error, slope

    def moved(self, reference: Array) -> Expansion:
        """Return the same expansion about another point."""
        (error,), (slope,) = self.at(reference[None])
        return replace(self, reference=reference, slope=slope, error=max(float(error), 0.0))

    def magnification(self) -> float:
        """Return |A| |r| / |A r|: how much larger than the gradient at zero its terms are."""
        gram, point = (torch.as_tensor(a) for a in (self.gram, self.reference))
        pull = float(torch.linalg.norm(point @ gram))
        size = float(torch.linalg.norm(gram, ord=2) * torch.linalg.norm(point))
        return size / pull if pull > 0 else 1.0


@ENGINES.register("gram")
class Gram(Engine):
    """Executes full-batch least squares at a cost that does not grow with the number of rows.

    Linear and polynomial models with the loss mse, penalties that are quadratic, and any pure
    update rule, on CPU or CUDA.

    Raises:
        CannotExecute: the features are so nearly collinear, or of such different scales, that
            rounding in XᵀX would show.
    """

    def __init__(self, runs: Sequence[Run], data: Dataset, loader: Loader, *, epochs: int) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        self.measures_all = data.train.features.numel() <= CHEAP
        self.rebuild_seconds = self.estimate(runs, data, loader).setup
        model = self.runs[0].objective.model
        self._stack = Stack(self.runs)
        self._has_bias = len(self._stack.params) == 2
        self._about = {"train": expand(model, self._part("train"), bias=self._has_bias)}
        about, dtype = self._about["train"], self._stack.params[0].dtype
        if (magnified := about.magnification()) > CONDITION[dtype]:
            raise CannotExecute(
                self,
                f"the features are so nearly collinear, or of so different scales, that rounding "
                f"in XᵀX would be magnified {magnified:.1g} times (at most {CONDITION[dtype]:g}): "
                f"use data.standardize=true, or engine=linear",
            )
        if (held := self.rows["validation"]) is not None:
            self._about["validation"] = expand(
                model, held, bias=self._has_bias, reference=about.reference
            )
        curvatures = [run.objective.penalty.curvature or 0.0 for run in self.runs]
        self._penalty = self._penalties(curvatures) if any(curvatures) else None
        shape = (len(self.runs), *about.reference.shape)
        device = self._stack.params[0].device
        self._points = _array(torch.zeros(shape, dtype=torch.float64, device=device))
        self._found: tuple[Array, Array, Array] | None = None

    def _penalties(self, curvatures: Sequence[float]) -> Array:
        """Return the factor of each squared parameter, (runs, 1, columns)."""
        objective, columns = self.runs[0].objective, len(self._about["train"].gram)
        chosen = torch.zeros(1, 1, columns, dtype=torch.float64)
        width = columns - self._has_bias
        chosen[..., :width] = any(p is objective.model.weight for p in objective.penalized)
        chosen[..., width:] = any(p is objective.model.bias for p in objective.penalized)
        strength = torch.tensor(curvatures, dtype=torch.float64)[:, None, None]
        return _array((strength * chosen).to(self._stack.params[0].device))

    @classmethod
    def why_not(cls, runs: Sequence[Run], data: Dataset, loader: Loader) -> str | None:
        """Full batches of a linear model with loss mse and a quadratic penalty."""
        if loader.batch_size != loader.rows:
            return "it needs all rows in each update: variant=batch"
        for run in runs:
            objective = run.objective
            model, loss, penalty = objective.model, objective.loss, objective.penalty
            if type(model).forward not in (Linear.forward, Polynomial.forward):
                return f"its model ({type(model).__name__}) is not linear in its parameters"
            if loss is None or type(loss).__call__ is not MSE.__call__:
                return "its loss is not the mean squared error: loss=mse"
            if objective.penalized and penalty.curvature is None:
                return (
                    f"its penalty ({type(penalty).__name__}) is not quadratic: penalty=l2 or none"
                )
            if any(not p.requires_grad for p in model.parameters()):
                return "a parameter is frozen"
            if reason := why_not_pure(run):
                return reason
        columns = _columns(runs[0])
        if columns > MOST_COLUMNS:
            return f"XᵀX would have {columns:,} columns, and at most {MOST_COLUMNS:,} are kept"
        return why_not_together(runs)

    @classmethod
    def estimate(cls, runs: Sequence[Run], data: Dataset, loader: Loader) -> Estimate:
        """One pass over the data, then steps that do not depend on it."""
        columns = _columns(runs[0])
        setup = PASS_SECONDS * data.rows * columns**2 + WORK_SECONDS * columns**3
        return Estimate(setup, STEP_SECONDS + WORK_SECONDS * columns**2 * len(runs))

    @classmethod
    def describe(cls, loader: Loader) -> str:
        """What makes it fast."""
        return "full-batch least squares, from XᵀX"

    @np.errstate(all="ignore")  # what is not finite is a result
    def advance(self, first: int, last: int) -> Trace:
        """Execute steps from the expansion alone."""
        losses, norms = [], []
        for rates in self._stack.factors(first, last, self.clock):
            error, gradient, norm = self._gradient()
            losses.append(error / self._about["train"].terms)
            norms.append(norm)
            self._found = None
            self._stack.update(self._split(gradient), rates)
        return Trace(_trace(losses).clip(min=0.0), _trace(norms))

    def _gradient(self) -> tuple[Array, Array, Array]:
        """Return squared errors (runs,), objectives' gradients and norms; kept until the update."""
        if self._found is None:
            points, about = self._gather(), self._about["train"]
            error, slope = about.at(points)
            gradient = slope * (2.0 / about.terms)
            if self._penalty is not None:
                gradient = gradient + 2.0 * self._penalty * points
            self._found = error, gradient, (gradient * gradient).sum((1, 2)) ** 0.5
        return self._found

    def _gather(self) -> Array:
        """Return all parameters in float64, (runs, outputs, columns)."""
        weight, *bias = self._stack.params
        self._points[..., : weight.shape[2]] = _array(weight)
        if bias:
            self._points[..., -1] = _array(bias[0])
        return self._points

    def _split(self, gradient: Array) -> list[Tensor]:
        """Return gradients (runs, outputs, columns) by parameter, in its type."""
        weight, *bias = self._stack.params
        whole = torch.as_tensor(gradient).to(weight.dtype)
        return [whole[..., :-1], whole[..., -1]] if bias else [whole]

    @np.errstate(all="ignore")
    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Evaluate the expansion; only the mean absolute error, where asked for, takes the rows."""
        about, points = self._about[part], self._gather()
        penalties = [0.0] * len(self.runs)
        if self._penalty is not None:
            penalties = (self._penalty * points * points).sum((1, 2)).tolist()
        norms: dict[str, list[float]] = {}
        if part == "train":
            error, gradient, _ = self._gradient()
            square = gradient * gradient
            width = self._stack.params[0].shape[2]
            parts = zip(self._stack.names, (square[..., :width], square[..., width:]), strict=False)
            norms = {name: (values.sum((1, 2)) ** 0.5).tolist() for name, values in parts}
        else:
            error, _ = about.at(points)
        found = []
        for run, squared in enumerate(error.tolist()):
            squared = squared if math.isnan(squared) else max(squared, 0.0)
            loss = squared / about.terms
            metrics = {
                "r2": 1 - squared / about.variation if about.variation > 0 else math.nan,
                "rmse": math.sqrt(loss),
                "mae": math.nan,
            }
            if (whole or self.measures_all) and run not in self.retired:
                metrics = self._metrics(run, part)
            own = {name: values[run] for name, values in norms.items()}
            found.append(Evaluation(loss, loss + penalties[run], own, metrics))
        return found

    def _metrics(self, run: int, part: Part) -> dict[str, float]:
        """Return all metrics of a run, from the rows themselves."""
        rows, model, tally = self._part(part), self.runs[run].objective.model, Tally(self.data)
        self._stack.settle(run)
        with torch.no_grad():
            for features, targets in _blocks(rows):
                tally.add(model(features), targets)
        return tally.metrics()

    def settle(self, run: int) -> None:
        """Copy a run's parameters into its module."""
        self._stack.settle(run)

    def parameters(self, run: int) -> dict[str, Tensor]:
        """Return a run's part of the stack."""
        return {n: p[run] for n, p in zip(self._stack.names, self._stack.params, strict=True)}

    def state(self, run: int) -> dict[str, Tensor]:
        """Copy parameters and the rule's state."""
        return self._stack.read(run)

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the stack."""
        self._found = None
        self._stack.write(run, state)


def _columns(run: Run) -> int:
    parameters = list(run.objective.model.parameters())
    return parameters[0].shape[1] + len(parameters) - 1


def _blocks(rows: Rows) -> list[tuple[Tensor, Tensor]]:
    """Cut rows into blocks of features and targets that stay in the cache."""
    size = max(1024, BLOCK // max(1, rows.features.shape[1]))
    return list(zip(torch.split(rows.features, size), torch.split(rows.targets, size), strict=True))


def _array(tensor: Tensor) -> Array:
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _trace(steps: list[Array]) -> NDArray[np.float64]:
    """Return values (runs,) of each step as an array (runs, steps)."""
    values = steps if isinstance(steps[0], np.ndarray) else [step.cpu().numpy() for step in steps]
    return np.stack(values, axis=1)


@torch.no_grad()
def expand(
    model: nn.Module, rows: Rows, *, bias: bool, reference: Array | None = None
) -> Expansion:
    """Return the expansion of the squared error, in one pass over the rows.

    Within a block, products are summed in the type of the data, over blocks in float64.

    Args:
        model: whose design is X.
        rows: features and targets.
        bias: whether X has a column of ones.
        reference: the point; by default the least-squares solution, which the pass finds by
            starting from that of a sample of rows.
    """
    design: Any = model.design
    if reference is None:
        stride = max(1, len(rows) // max(1024, 8 * rows.features.shape[1]))
        x, y = design(rows.features[::stride]).double(), rows.targets[::stride].double()
        if bias:
            x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        first = y.T @ x @ pseudo_inverse(x.T @ x)
    else:
        first = torch.as_tensor(reference)
    near = first.to(rows.features.dtype)
    mean = rows.targets.double().mean(dim=0)
    totals: list[Tensor] = []
    for features, targets in _blocks(rows):
        x = design(features)
        width = x.shape[1]
        residual = nn.functional.linear(x, near[:, :width], near[:, -1] if bias else None) - targets
        sides = torch.cat([residual, torch.ones_like(residual[:, :1])], dim=1)
        block = (
            x.T @ x, sides.T @ x, residual.sum(dim=0), residual.square().sum(),
            (targets.double() - mean).square().sum(),
        )  # fmt: skip
        sums = [part.double() for part in block]
        totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else sums
    gram, products, offset, error, variation = totals
    slope, columns = products[:-1], products[-1]
    if bias:
        count = columns.new_full((1, 1), len(rows))
        gram = torch.cat(
            [torch.cat([gram, columns[:, None]], 1), torch.cat([columns[None], count], 1)]
        )
        slope = torch.cat([slope, offset[:, None]], dim=1)
    floor = 1e-12 * float(mean.square().sum()) * len(rows)  # of equal targets rounding is left
    varies = float(variation) if float(variation) > floor else 0.0
    found = Expansion(
        _array(gram), _array(near.double()), _array(slope), float(error), varies,
        rows.targets.numel(),
    )  # fmt: skip
    if reference is None:
        reference = _array(near.double() - slope @ pseudo_inverse(gram))
    return found.moved(reference)


def pseudo_inverse(gram: Tensor) -> Tensor:
    """Return the pseudo-inverse of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(gram)
    kept = values > values[-1].clamp(min=0.0) * len(gram) * torch.finfo(gram.dtype).eps
    inverse = torch.where(kept, 1.0 / torch.where(kept, values, 1.0), 0.0)
    found: Tensor = (vectors * inverse) @ vectors.T
    return found
