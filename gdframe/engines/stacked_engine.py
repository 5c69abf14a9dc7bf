"""The stacked engine: a step of all runs at once, without compilation.

The gradient of the sum of the runs' objectives holds the gradient of each run, since the runs share
no parameter. A step of thirty small runs takes about as long as three steps of one run on the plain
loop, and of linear models about as long as one. The engine is for short trials of many runs. It is
not registered: no run is trained by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.engines.base import Engine, Estimate, Part, Problem, Trace
from gdframe.engines.columns import Columns, RecordedColumns, columns
from gdframe.engines.eager import Eager
from gdframe.engines.expansion import as_array
from gdframe.engines.functional import check_functional
from gdframe.engines.probe import why_not_functional
from gdframe.engines.pure_rule import why_rule_not_pure
from gdframe.engines.row_order import row_order
from gdframe.engines.rule_check import check_together
from gdframe.engines.stack import Stack
from gdframe.engines.structure import why_not_together, why_step_not_update
from gdframe.engines.together import evaluate_together
from gdframe.engines.verification import has_untouched_built_ins
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.loaders.base import Loader
from gdframe.models.plain import is_linear_in_parameters
from gdframe.objective import CHUNK, Evaluation, FunctionalObjective, evaluation_mode

STEPS, LINEAR_STEPS, WORK_SECONDS = 6.0, 2.0, 0.25e-9
"""Steps of the plain loop that a step takes, in general and of linear models; seconds for each
product of a value and a row."""


class Stacked(Engine):
    """Executes functional models with pure update rules; the runs have one seed.

    Losses of steps are not measured: those of a trace are 0.
    """

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        first = self.runs[0]
        self._is_linear = _is_linear(first)
        self._stack = columns(self.runs) if self._is_linear else Stack(self.runs)
        if not isinstance(self._stack, RecordedColumns):
            check_together(self._stack, self.clock)
        for run in self.runs:
            run.objective.model.train()
        loss = first.objective.loss
        # the mean over the rows of all runs holds the mean over those of each
        self._is_mean = getattr(loss, "kernel", None) is not None and is_untouched_built_in(loss)
        self._function = FunctionalObjective(first.objective, self._stack.names)
        if not has_untouched_built_ins(first):
            check_functional(first, self._rows_at(slice(0, 2 * loader.batch_size)), {})
        self._order: tuple[int, Tensor | None] | None = None

    @classmethod
    def why_not(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
        """Return why the model, the rule or the seeds do not allow it, or None."""
        if len(runs) == 1:
            return "it is for several runs"
        if len({run.seed for run in runs}) > 1:
            return "the runs differ in their seeds"
        return (
            why_step_not_update(runs[0])
            or why_not_together(runs)
            or why_rule_not_pure(runs[0])
            or why_not_functional(runs[0], data, loader)
        )

    @classmethod
    def estimate(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> Estimate:
        """Return an estimate: fixed costs of a step, and a cost of each product."""
        parameters = sum(p.numel() for p in runs[0].objective.model.parameters())
        steps = LINEAR_STEPS if _is_linear(runs[0]) else STEPS
        fixed = steps * Eager.estimate(runs[:1], data, loader).step
        return Estimate(0.0, fixed + WORK_SECONDS * loader.batch_size * parameters * len(runs))

    def advance(self, first: int, last: int) -> Trace:
        """Execute the steps, each of all runs."""
        epoch, size = first // self.clock.steps_per_epoch, self.loader.batch_size
        order = self._epoch_order(epoch)
        rates = self._stack.learning_rates(first, last, self.clock)
        norms = []
        for step, rate in zip(range(first, last), rates, strict=True):
            at = (step - epoch * self.clock.steps_per_epoch) * size
            where = slice(at, at + size)
            grads = self._gradients(self._rows_at(where if order is None else order[where]))
            self._descend(grads, rate)
            norms.append(_norms(grads))
        norm = torch.stack(norms, 1).cpu().numpy()  # (runs, steps)
        return Trace(np.zeros_like(norm), norm)

    @torch.no_grad()
    def _descend(self, grads: list[Tensor], rates: NDArray[np.float64]) -> None:
        """Apply the update rule once to all runs."""
        if isinstance(self._stack, Columns):
            parts = [grad if grad.ndim == 3 else grad[..., None] for grad in grads]
            self._stack.descend(as_array(torch.cat(parts, dim=2)), rates)
        else:
            self._stack.update(grads, rates)

    def _gradients(self, rows: Rows) -> list[Tensor]:
        """Return the gradients of the objectives on rows, (runs, ...) each."""
        params = [p.detach().requires_grad_() for p in self._stack.params]
        with torch.enable_grad():
            if self._is_mean:
                outputs, runs = self._outputs(params, rows), len(self.runs)
                targets = rows.targets.repeat(runs, *[1] * (rows.targets.ndim - 1))
                total = runs * self._function.mean_loss(outputs.flatten(0, 1), targets)
            else:
                total = self._losses(params, rows).sum()
            if self._function.is_penalized:
                total = total + self._penalties(params).sum()
            return list(torch.autograd.grad(total, params, materialize_grads=True))

    def _outputs(self, params: list[Tensor], rows: Rows) -> Tensor:
        """Return the outputs of each run, (runs, rows, outputs)."""
        if self._is_linear:
            model: Any = self.runs[0].objective.model
            outputs: Tensor = model.design(rows.features) @ params[0].mT
            return outputs + params[1][:, None] if len(params) > 1 else outputs

        def outputs_of(params: list[Tensor]) -> Tensor:
            named = dict(zip(self._stack.names, params, strict=True))
            return self._function.outputs(named, rows.features)

        return torch.vmap(outputs_of)(params)

    def _losses(self, params: list[Tensor], rows: Rows) -> Tensor:
        """Return the mean loss of each run over rows, (runs,)."""
        outputs, mean_loss = self._outputs(params, rows), self._function.mean_loss
        if self._is_mean:
            return torch.stack([mean_loss(one, rows.targets) for one in outputs])
        return torch.vmap(mean_loss, in_dims=(0, None))(outputs, rows.targets)

    def _penalties(self, params: list[Tensor]) -> Tensor:
        """Return the penalty of each run, (runs,)."""

        def value(params: list[Tensor]) -> Tensor:
            named = dict(zip(self._stack.names, params, strict=True))
            return torch.as_tensor(self._function.penalty_at(named))

        return torch.vmap(value)(params)

    def _rows_at(self, where: slice | Tensor) -> Rows:
        rows = self._part("train")
        return rows.take(where)

    def _epoch_order(self, epoch: int) -> Tensor | None:
        """Return the order of an epoch's rows; cached for one epoch."""
        if self._order is None or self._order[0] != epoch:
            order = row_order(self.loader, epoch, self.runs[0].seed, self.runs)
            if order is not None:
                order = order.to(self._stack.params[0].device)
            self._order = epoch, order
        return self._order[1]

    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Return the evaluation of each run, all at once; without metrics unless ``whole``."""
        rows, model = self._part(part), self.runs[0].objective.model
        is_cut = len(rows) * len(self.runs) > CHUNK
        if whole or (is_cut and not has_untouched_built_ins(self.runs[0])):
            gradient = part == "train"
            return evaluate_together(self._stack, {}, rows, self.data, gradient=gradient)
        losses, params = torch.zeros(len(self.runs), dtype=torch.float64), self._stack.params
        sums = [torch.zeros_like(p) for p in params]
        with evaluation_mode(model), torch.no_grad():
            for chunk in self._chunks(rows):
                share = len(chunk) / len(rows)
                losses += share * self._losses(params, chunk).cpu()
                if part == "train":
                    grads = self._gradients(chunk)
                    sums = [s + share * g for s, g in zip(sums, grads, strict=True)]
            penalties = self._penalties(params).cpu() if self._function.is_penalized else 0.0
        numbers = zip(losses, losses + penalties, _norms(sums), strict=True)
        rows_of_numbers = [[float(number) for number in row] for row in numbers]
        return [Evaluation(loss, value, {"": norm}, {}) for loss, value, norm in rows_of_numbers]

    def _chunks(self, rows: Rows) -> Iterator[Rows]:
        """Yield rows, few enough for the activations of all runs."""
        size = max(1, CHUNK // len(self.runs))
        for start in range(0, len(rows), size):
            where = slice(start, start + size)
            yield rows.take(where)

    def state(self, run: int) -> dict[str, Tensor]:
        """Return copies of a run's parameters and its rule's state."""
        return self._stack.read(run)

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the stack."""
        self._stack.write(run, state)


def _is_linear(run: Problem) -> bool:
    """Return whether a model is linear in its parameters, which are all trained."""
    model = run.objective.model
    is_linear = is_untouched_built_in(model) and is_linear_in_parameters(model)
    return is_linear and all(p.requires_grad for p in model.parameters())


def _norms(grads: Sequence[Tensor]) -> Tensor:
    """Return the norm of each run's gradient, (runs,)."""
    return torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0).sqrt()
