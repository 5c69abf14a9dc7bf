"""The stacked engine: a step of all runs at once by vmap, without compilation.

The gradient of the sum of the runs' objectives holds the gradient of each run, since the runs share
no parameter. A step of thirty small runs takes about as long as three steps of one run on the plain
loop. The engine is for short trials of many runs. It is not registered: no run is trained by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows
from gdframe.engines.base import Engine, Estimate, Part, Problem, Trace
from gdframe.engines.eager import Eager
from gdframe.engines.functional import check_functional
from gdframe.engines.probe import why_not_functional, why_rule_not_pure
from gdframe.engines.row_order import row_order
from gdframe.engines.stack import Stack
from gdframe.engines.structure import why_not_together, why_step_not_update
from gdframe.engines.together import evaluate_together
from gdframe.engines.verification import has_untouched_built_ins
from gdframe.loaders.base import Loader
from gdframe.objective import CHUNK, Evaluation, FunctionalObjective, evaluation_mode

STEPS, WORK_SECONDS = 3.0, 0.25e-9
"""Steps of the plain loop that a step takes; seconds for each product of a value and a row."""


class Stacked(Engine):
    """Executes functional models with pure update rules; the runs have one seed."""

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        self._stack = Stack(self.runs)
        for run in self.runs:
            run.objective.model.train()
        first = self.runs[0]
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
        fixed = STEPS * Eager.estimate(runs[:1], data, loader).step
        return Estimate(0.0, fixed + WORK_SECONDS * loader.batch_size * parameters * len(runs))

    def advance(self, first: int, last: int) -> Trace:
        """Execute the steps, each of all runs."""
        epoch, size = first // self.clock.steps_per_epoch, self.loader.batch_size
        order = self._epoch_order(epoch)
        rates = self._stack.learning_rates(first, last, self.clock)
        losses, norms = [], []
        for step, rate in zip(range(first, last), rates, strict=True):
            at = (step - epoch * self.clock.steps_per_epoch) * size
            where = slice(at, at + size)
            batch = self._rows_at(where if order is None else order[where])
            loss, _, grads = self._gradients(batch)
            with torch.no_grad():
                self._stack.update(grads, rate)
            losses.append(loss)
            norms.append(_norms(grads))
        # (runs, steps)
        return Trace(torch.stack(losses, 1).cpu().numpy(), torch.stack(norms, 1).cpu().numpy())

    def _gradients(self, rows: Rows) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return losses (runs,), objectives (runs,) and the objectives' gradients (runs, ...)."""
        params = [p.detach().requires_grad_() for p in self._stack.params]
        with torch.enable_grad():
            losses, objectives = self._values(params, rows)
            grads = torch.autograd.grad(objectives.sum(), params, materialize_grads=True)
        return losses.detach(), objectives.detach(), list(grads)

    def _values(self, params: list[Tensor], rows: Rows) -> tuple[Tensor, Tensor]:
        """Return losses and objectives, (runs,) each."""

        def value(params: list[Tensor]) -> tuple[Tensor, Tensor]:
            named = dict(zip(self._stack.names, params, strict=True))
            objective, loss = self._function(named, rows.features, rows.targets)
            return loss, objective

        losses, objectives = torch.vmap(value)(params)
        return losses, objectives

    def _rows_at(self, where: slice | Tensor) -> Rows:
        rows = self._part("train")
        return Rows(rows.features[where], rows.targets[where])

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
        if whole:
            gradient = part == "train"
            return evaluate_together(self._stack, {}, rows, self.data, gradient=gradient)
        losses, objectives = torch.zeros(2, len(self.runs), dtype=torch.float64)
        sums = [torch.zeros_like(p) for p in self._stack.params]
        with evaluation_mode(model):
            for chunk in self._chunks(rows):
                share = len(chunk) / len(rows)
                if part == "train":
                    loss, objective, grads = self._gradients(chunk)
                    sums = [s + share * g for s, g in zip(sums, grads, strict=True)]
                else:
                    with torch.no_grad():
                        loss, objective = self._values(self._stack.params, chunk)
                losses += share * loss.cpu()
                objectives += share * objective.cpu()
        numbers = zip(losses.tolist(), objectives.tolist(), _norms(sums).tolist(), strict=True)
        return [Evaluation(loss, value, {"": norm}, {}) for loss, value, norm in numbers]

    def _chunks(self, rows: Rows) -> Iterator[Rows]:
        """Yield rows, few enough for the activations of all runs."""
        size = max(1, CHUNK // len(self.runs))
        for start in range(0, len(rows), size):
            where = slice(start, start + size)
            yield Rows(rows.features[where], rows.targets[where])

    def state(self, run: int) -> dict[str, Tensor]:
        """Return copies of a run's parameters and its rule's state."""
        return self._stack.read(run)

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the stack."""
        self._stack.write(run, state)


def _norms(grads: Sequence[Tensor]) -> Tensor:
    """Return the norm of each run's gradient, (runs,)."""
    return torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0).sqrt()
