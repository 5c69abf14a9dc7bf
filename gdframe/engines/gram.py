"""The gram engine: full-batch least squares from XᵀX, with one pass over the data in all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.engines.base import CannotExecute, Engine, Estimate, Part, Problem, Trace
from gdframe.engines.columns import RecordedColumns, columns
from gdframe.engines.expansion import (
    Array,
    as_array,
    blocks_of,
    dots,
    expand,
    penalized_columns,
    split_weights,
    why_not_quadratic,
)  # fmt: skip
from gdframe.engines.probe import why_not_as_declared
from gdframe.engines.pure_rule import why_rule_not_pure
from gdframe.engines.row_order import takes_all_rows
from gdframe.engines.rule_check import check_together
from gdframe.engines.structure import why_not_together, why_step_not_update
from gdframe.engines.untrained_values import constants_of
from gdframe.engines.verification import check_evaluations, check_steps, runs_to_check
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss, encodes_by_default
from gdframe.metrics.tally import Tally, follow_from_squared_error, from_squared_error
from gdframe.objective import Evaluation
from gdframe.randomness import Purpose, derive, restored_generators, seed_generators
from gdframe.registry import ENGINES, is_built_in

MOST_COLUMNS = 4096
"""Most columns of XᵀX, which then takes 128 MiB."""

CHEAP = 1 << 18
"""Most values of X for which the mean absolute error, which needs the rows, is always measured."""

CONDITION = {torch.float32: 1e9, torch.float64: 1e5}
"""Largest |A| |w*| / |A w*|, the factor by which a gradient may magnify the rounding in A."""

ROUNDING = 1e-6
"""Largest relative error of the objective by products in single precision."""

SAMPLE = 64
"""Number of rows on which an update is compared with the plain loop's."""

STEP_SECONDS, WORK_SECONDS, PASS_SECONDS = 30e-6, 0.1e-9, 0.05e-9
"""Seconds for a step, for each product with an entry of A, for each product while A is built."""


@ENGINES.register("gram")
class Gram(Engine):
    """Executes full-batch least squares at a cost that does not grow with the number of rows.

    It takes linear and polynomial models, the loss mse, quadratic penalties and any pure update
    rule, on CPU or CUDA.

    Raises:
        CannotExecute: the features are so nearly collinear, or of such different scales, that
            rounding in XᵀX would change the result.
    """

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        is_small = data.train.features.numel() <= CHEAP
        self.measures_all = is_small or not all(map(_predicts_outputs, self.runs))
        self.rebuild_seconds = self.estimate(runs, data, loader).setup
        model = self.runs[0].objective.model
        self._stack = columns(self.runs)
        self._has_bias = len(self._stack.params) == 2
        # a user's rule may draw late, unnoticed by trial calls; in a group vmap refuses to decide
        is_called = not isinstance(self._stack, RecordedColumns)
        self._seeds = is_called and len(runs) == 1 and not is_built_in(self._stack.rule)
        dtype, summed_in = self._stack.params[0].dtype, None
        with self._constant_design(model):
            expansion = expand(model, self._part("train"), bias=self._has_bias)
        if dtype == torch.float32 and expansion.rounding(torch.finfo(dtype).eps) > ROUNDING:
            summed_in = torch.float64
            expansion = expand(model, self._part("train"), bias=self._has_bias, dtype=summed_in)
        self._expansions = {"train": expansion}
        if (magnified := expansion.magnification()) > CONDITION[dtype]:
            raise CannotExecute(
                self,
                f"the features are so nearly collinear, or of so different scales, that rounding "
                f"in XᵀX would be magnified {magnified:.1g} times (at most {CONDITION[dtype]:g}): "
                f"use data.standardize=true, or engine=linear",
            )
        if (validation := self.rows["validation"]) is not None:
            self._expansions["validation"] = expand(
                model,
                validation,
                bias=self._has_bias,
                reference=expansion.reference,
                dtype=summed_in,
            )
        self._read_penalties()
        self._cached: tuple[Array, Array, Array] | None = None

    def _read_penalties(self) -> None:
        curvatures = [run.objective.penalty.curvature or 0.0 for run in self.runs]
        self._penalty = self._penalties(curvatures) if any(curvatures) else None

    def _penalties(self, curvatures: Sequence[float]) -> Array:
        """Return the factor of each squared parameter, (runs, 1, columns)."""
        mask = penalized_columns(self.runs[0].objective, len(self._expansions["train"].gram))
        strength = torch.tensor(curvatures, dtype=torch.float64)[:, None, None]
        return as_array((strength * mask).to(self._stack.params[0].device))

    @classmethod
    def why_not(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
        """Return why it is not full-batch least squares with a quadratic penalty, or None."""
        if not takes_all_rows(loader):
            return "it needs all rows in each step: variant=batch"
        for run in runs:
            objective = run.objective
            if reason := why_not_quadratic(objective):
                return reason
            if any(not p.requires_grad for p in objective.model.parameters()):
                return "a parameter is frozen"
            if reason := why_step_not_update(run):
                return reason
        columns = _columns(runs[0])
        if columns > MOST_COLUMNS:
            return f"XᵀX would have {columns:,} columns (at most {MOST_COLUMNS:,})"
        return (
            why_not_together(runs)
            or why_rule_not_pure(runs[0])
            or why_not_as_declared(runs[0], data, loader)
        )

    @classmethod
    def estimate(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> Estimate:
        """Return an estimate: one pass over the data, then steps that do not depend on it."""
        columns = _columns(runs[0])
        setup = PASS_SECONDS * data.rows * columns**2 + WORK_SECONDS * columns**3
        return Estimate(setup, STEP_SECONDS + WORK_SECONDS * columns**2 * len(runs))

    @classmethod
    def describe(cls, loader: Loader) -> str:
        """Return a description of the steps and why they are fast."""
        return "full-batch least squares, from XᵀX"

    def copy_from_modules(self) -> None:
        """Copy parameters and states from modules and optimizers."""
        self._cached = None
        self._read_penalties()
        self._stack.check_settings()
        self._stack.copy_from_modules()

    @np.errstate(all="ignore")
    def verify(self) -> None:
        """Compare an update from a few rows with the plain loop's."""
        if not isinstance(self._stack, RecordedColumns):
            check_together(self._stack, self.clock)
        else:
            self._stack.check_rates(self.clock)
        rows = self._part("train")
        sample = rows.take(slice(SAMPLE))
        for run in runs_to_check(len(self.runs)):
            rate = float(self._stack.base_rates[run])
            check_steps(self, run, [sample], [rate], partial(self._descend_on, run, sample))
        check_evaluations(self, sample, partial(self._evaluate_on, sample))

    def _evaluate_on(self, rows: Rows, runs: Sequence[int]) -> list[Evaluation]:
        """Return evaluations of some runs on some rows, without metrics."""
        evaluations = []
        for run in runs:
            loss, gradient = self._on_rows(run, rows)
            points = torch.as_tensor(self._stack.points()).cpu().numpy()[run]
            penalty, width = 0.0, self._stack.width
            if self._penalty is not None:
                factors = torch.as_tensor(self._penalty).cpu().numpy()[run]
                penalty = float((factors * points * points).sum())
            parts = zip(self._stack.names, (gradient[:, :width], gradient[:, width:]), strict=False)
            norms = {name: float(np.linalg.norm(part)) for name, part in parts}
            evaluations.append(Evaluation(loss, loss + penalty, norms, {}))
        return evaluations

    def _descend_on(self, run: int, rows: Rows) -> tuple[list[float], list[float]]:
        """Update a run from a few rows; return loss and gradient norm."""
        loss, gradient = self._on_rows(run, rows)
        gradients = np.zeros((len(self.runs), *gradient.shape))
        gradients[run] = gradient
        gradients = as_array(torch.from_numpy(gradients).to(rows.features.device))
        self._stack.descend(gradients, self._stack.base_rates)
        return [loss], [math.sqrt(float((gradient * gradient).sum()))]

    @torch.no_grad()
    def _on_rows(self, run: int, rows: Rows) -> tuple[float, NDArray[np.float64]]:
        """Return loss and gradient of a run's objective on rows, by this engine's formulas."""
        model: Any = self.runs[run].objective.model
        x = model.design(rows.features).double().cpu().numpy()
        if self._has_bias:
            x = np.column_stack([x, np.ones(len(x))])
        points = torch.as_tensor(self._stack.points()).cpu().numpy()[run]
        y, roots = split_weights(rows.targets.double().cpu(), len(points))
        if roots is not None:
            x, y = roots.numpy() * x, roots * y
        error = x @ points.T - y.numpy()
        gradient = 2.0 * error.T @ x / error.size
        if self._penalty is not None:
            penalty = torch.as_tensor(self._penalty).cpu().numpy()
            gradient = gradient + 2.0 * penalty[run] * points
        return float((error * error).mean()), gradient

    @np.errstate(all="ignore")  # values that are not finite are valid results
    def advance(self, first: int, last: int) -> Trace:
        """Execute steps from the expansion alone."""
        losses, norms, device = [], [], self._stack.params[0].device
        with restored_generators(device, all_libraries=True) if self._seeds else nullcontext():
            for step, rates in enumerate(self._stack.rates_of(first, last, self.clock), first):
                error, gradient, norm = self._gradient()
                losses.append(error / self._expansions["train"].terms)
                norms.append(norm)
                self._cached = None
                if self._seeds:
                    number = derive(self.runs[0].seed, Purpose.MODEL, step)
                    seed_generators(number, device, all_libraries=True)
                self._stack.descend(gradient, rates)
        loss = _trace(losses).clip(min=0.0)
        loss[loss > self._largest_error / self._expansions["train"].terms] = math.inf
        return Trace(loss, _trace(norms))

    @property
    def _largest_error(self) -> float:
        """Largest squared error in the data's type; larger ones are infinite on eager."""
        return torch.finfo(self._stack.params[0].dtype).max

    def _gradient(self) -> tuple[Array, Array, Array]:
        """Return squared errors (runs,), gradients of objectives and norms; cached for a step."""
        if self._cached is None:
            points, expansion = self._stack.points(), self._expansions["train"]
            error, slope = expansion.at(points)
            gradient = slope * (2.0 / expansion.terms)
            if self._penalty is not None:
                gradient = gradient + 2.0 * self._penalty * points
            self._cached = error, gradient, dots(gradient, gradient) ** 0.5
        return self._cached

    @np.errstate(all="ignore")
    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Return evaluations from the expansion; only the mean absolute error needs the rows."""
        expansion, points = self._expansions[part], self._stack.points()
        penalties = [0.0] * len(self.runs)
        if self._penalty is not None:
            penalties = (self._penalty * points * points).sum((1, 2)).tolist()
        norms: dict[str, list[float]] = {}
        if part == "train":
            error, gradient, _ = self._gradient()
            square = gradient * gradient
            width = self._stack.width
            parts = zip(self._stack.names, (square[..., :width], square[..., width:]), strict=False)
            norms = {name: (values.sum((1, 2)) ** 0.5).tolist() for name, values in parts}
        else:
            error, _ = expansion.at(points)
        evaluations, rows = [], self._part(part)
        for run, squared in enumerate(error.tolist()):
            squared = squared if math.isnan(squared) else max(squared, 0.0)
            squared = math.inf if squared > self._largest_error else squared
            loss = squared / expansion.terms
            tally = self.runs[run].tally(self.data, rows)
            needs_rows = whole and not follow_from_squared_error(tally.metrics)
            is_asked = bool(tally.metrics) and (needs_rows or self.measures_all)
            if is_asked and run not in self.retired:
                metrics = self._metrics(run, tally)
            else:
                metrics = from_squared_error(tally.metrics, squared, rows)
            run_norms = {name: values[run] for name, values in norms.items()}
            evaluations.append(Evaluation(loss, loss + penalties[run], run_norms, metrics))
        return evaluations

    def _metrics(self, run: int, tally: Tally) -> dict[str, float]:
        """Return all metrics of a run, computed from the rows."""
        model = self.runs[run].objective.model
        self._stack.copy_to_module(run)
        with torch.no_grad():
            for features, targets in blocks_of(tally.rows):
                tally.add(model(features), targets)
        return tally.values()

    def copy_to_module(self, run: int) -> None:
        """Copy a run's parameters to its module, and its state to its optimizer."""
        self._stack.copy_to_module(run)

    def parameters(self, run: int) -> dict[str, Tensor]:
        """Return copies of a run's parameters."""
        if run in self.retired:  # the module holds what the run ended with
            return super().parameters(run)
        stack, form = self._stack, torch.contiguous_format
        parts = zip(stack.names, stack.params, strict=True)
        return {name: values[run].clone(memory_format=form) for name, values in parts}

    def state(self, run: int) -> dict[str, Tensor]:
        """Return copies of parameters and the optimizer's state."""
        return self._stack.read(run) | constants_of(self.runs[run].objective.model)

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the stack."""
        self._cached = None
        self._stack.write(run, state)


def _predicts_outputs(run: Problem) -> bool:
    """Return whether a run's predictions are the outputs, whose squared error is known."""
    loss = run.objective.loss
    if loss is None or not encodes_by_default(loss):
        return False
    return type(loss).predict is Loss.predict and "predict" not in vars(loss)


def _columns(run: Problem) -> int:
    parameters = list(run.objective.model.parameters())
    return parameters[0].shape[1] + len(parameters) - 1


def _trace(steps: list[Array]) -> NDArray[np.float64]:
    """Return values (runs,) of each step as an array (runs, steps)."""
    if isinstance(steps[0], np.ndarray):
        return np.stack(steps, axis=1)
    values: NDArray[np.float64] = torch.stack(steps, dim=1).cpu().numpy()
    return values
