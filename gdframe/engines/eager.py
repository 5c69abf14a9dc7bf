"""The plain loop: the definition of a step, which all other engines must match."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.engines.base import UNKNOWN, Engine, Estimate, Part, Problem, Trace
from gdframe.engines.component_difference import first_difference
from gdframe.engines.problem_state import may_draw
from gdframe.engines.row_order import row_order
from gdframe.engines.stored_state import read_state, write_state
from gdframe.errors import UserError
from gdframe.hidden_state import HiddenState, with_state
from gdframe.hidden_state.in_place import unchanged_rows
from gdframe.loaders.base import Loader
from gdframe.objective import Evaluation
from gdframe.optimizers.base import Optimizer
from gdframe.optimizers.tensors import global_norm
from gdframe.randomness import Purpose, derive, restored_generators, seed_generators, seeded
from gdframe.registry import ENGINES
from gdframe.runs.log import warn_once
from gdframe.schedules.base import factors_of

STEP_SECONDS, TENSOR_SECONDS, WORK_SECONDS = 200e-6, 40e-6, 0.5e-9
"""Seconds for a step, for each parameter tensor, and for each product of a value and a row.

Measured on two cores of a server; only the ratios to other engines' constants matter.
"""


@ENGINES.register("eager")
class Eager(Engine):
    """Executes anything, one run after another, with PyTorch's autograd."""

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        self._encoded = [self._rows_of(run) for run in self.runs]
        self._rates = [[g["lr"] for g in run.optimizer.param_groups] for run in self.runs]
        self._may_draw = [may_draw(run) for run in self.runs]
        self._order: tuple[tuple[int, int], Tensor | None] | None = None
        self._components_of_users: dict[int, dict[str, Any]] = {}
        self._begun: set[int] = set()  # runs whose model has been put in training mode
        for run in self.runs:
            _ = run.trained  # as it is before the first step

    @classmethod
    def estimate(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> Estimate:
        """Return an estimate: fixed costs of a step and its tensors, and a cost of each product."""
        parameters = list(runs[0].objective.model.parameters())
        work = loader.batch_size * max(1, sum(p.numel() for p in parameters))
        step = STEP_SECONDS + TENSOR_SECONDS * len(parameters) + WORK_SECONDS * work
        return Estimate(setup=0.0, step=step * len(runs))

    def only(self, runs: Sequence[int]) -> Engine:
        """Return an engine that continues with some of the runs, in the epoch that they are in."""
        engine = super().only(runs)
        assert isinstance(engine, Eager)
        engine._begun = {place for place, run in enumerate(runs) if run in self._begun}
        return engine

    def advance(self, first: int, last: int) -> Trace:
        """Execute the steps run by run."""
        traces = [self._advance(index, first, last) for index in range(len(self.runs))]
        losses, norms = (torch.stack(values).cpu().numpy() for values in zip(*traces, strict=True))
        return Trace(losses, norms)

    def _advance(self, index: int, first: int, last: int) -> tuple[Tensor, Tensor]:
        run, rows = self.runs[index], self._encoded[index]["train"]
        assert rows is not None
        parameters = list(run.objective.model.parameters())
        if index in self.retired:
            unknown = parameters[0].detach().new_full((last - first,), torch.nan)
            return unknown, unknown
        epoch = first // self.clock.steps_per_epoch
        order = self._epoch_order(run.seed, epoch)
        factors = factors_of([run.schedule], first, last, self.clock)[0][0]
        losses, norms = [], []
        if first == epoch * self.clock.steps_per_epoch or index not in self._begun:
            run.objective.model.train()  # once an epoch, however it is cut into calls
            self._begun.add(index)
        device, draws = rows.targets.device, self._may_draw[index]
        try:
            with restored_generators(device, all_libraries=draws):
                for step, factor in zip(range(first, last), factors.tolist(), strict=True):
                    batch = self._batch(rows, order, step - epoch * self.clock.steps_per_epoch)
                    number = derive(run.seed, Purpose.MODEL, step)
                    seed_generators(number, device, all_libraries=draws)
                    rates = [lr * factor for lr in self._rates[index]]
                    loss, norm = one_step(run, parameters, batch, rates)
                    losses.append(loss)
                    norms.append(norm)
        finally:
            for group, lr in zip(run.optimizer.param_groups, self._rates[index], strict=True):
                group["lr"] = lr
            for parameter in parameters:
                parameter.grad = None  # as on engines that keep gradients elsewhere
        return torch.stack(losses), torch.stack(norms)

    def _rows_of(self, run: Problem) -> dict[str, Rows | None]:
        """Return the rows as a run's loss encodes them; equal losses share them."""
        loss = run.objective.loss
        if loss is None or first_difference(loss, self.runs[0].objective.loss) is None:
            return self.rows
        encode, validation = run.objective.encode, self.data.validation
        return {"train": encode(self.data.train), "validation": validation and encode(validation)}

    def _epoch_order(self, seed: int, epoch: int) -> Tensor | None:
        """Return the order of an epoch's rows on the data's device; cached for one epoch."""
        if self._order is None or self._order[0] != (seed, epoch):
            order = row_order(self.loader, epoch, seed, self.runs)
            if order is not None:
                order = order.to(self.data.train.targets.device)
            self._order = ((seed, epoch), order)
        return self._order[1]

    def _batch(self, rows: Rows, order: Tensor | None, step: int) -> Rows:
        """Return the rows of an epoch's step."""
        size = self.loader.batch_size
        where = slice(step * size, (step + 1) * size)
        if order is None:
            return Rows(rows.features[where], rows.targets[where])
        picked = order[where]
        return Rows(rows.features.index_select(0, picked), rows.targets.index_select(0, picked))

    def state(self, run: int) -> dict[str, Tensor]:
        """Return copies of the module's and the optimizer's state."""
        return read_state(self.runs[run])

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the module and the optimizer."""
        write_state(self.runs[run], state)

    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Return the evaluation of each run; a model's random draws depend on the run's seed."""
        self._part(part)
        evaluations = []
        for index, run in enumerate(self.runs):
            rows = self._encoded[index][part]
            if rows is None or index in self.retired:
                evaluations.append(UNKNOWN)
                continue
            device, draws = rows.targets.device, self._may_draw[index]
            with (
                seeded(run.seed, Purpose.EVALUATION, device=device, all_libraries=draws),
                self._without_traces(index),
            ):
                evaluations.append(run.evaluate(rows, self.data, gradient=part == "train"))
        return evaluations

    @contextmanager
    def _without_traces(self, index: int) -> Iterator[None]:
        """Restore what users' components change in an evaluation."""
        if index not in self._components_of_users:
            components = self.runs[index].objective.components
            self._components_of_users[index] = with_state(components)
        if not (users := self._components_of_users[index]):
            yield
            return
        with HiddenState(users, draws=False, skip=self.data.tensors) as saved:
            if saved.unseen:
                warn_once(
                    f"{saved.unseen} hides its state, as an iterator does: evaluations may "
                    "change it, and with it the run; keep numbers instead"
                )
            yield


def one_step(
    run: Problem, parameters: Sequence[Tensor], batch: Rows, rates: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Update a run's module with one batch: the definition of a step.

    Args:
        run: its module and optimizer are updated.
        parameters: all parameters of the module.
        batch: encoded rows.
        rates: the learning rate of each parameter group.

    Returns:
        Loss and gradient norm before the update, as 0-d tensors.

    Raises:
        UserError: a component changes the rows, or the optimizer its learning rate.
    """
    objective, optimizer = run.objective, run.optimizer
    for parameter in parameters:
        parameter.grad = None
    with unchanged_rows(objective.model, objective.loss, batch.features, batch.targets):
        loss = objective.batch_loss(batch.features, batch.targets)
    value = loss + objective.penalty_value()
    if not value.requires_grad:
        raise UserError(
            f"model {type(objective.model).__name__}: the objective does not depend on a trained "
            "parameter: a model or a loss detaches its result, or all parameters are frozen"
        )
    torch.autograd.backward(value)
    for group, lr in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = lr
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        raise UserError(
            f"model {type(objective.model).__name__}: replaces its parameters while it trains, so "
            "that the optimizer does not see them; write into them instead (parameter.copy_)"
        )
    norm = global_norm(grads)
    if isinstance(optimizer, Optimizer) and not optimizer.state:
        with seeded(run.seed, Purpose.STATE, device=batch.targets.device):
            for group in optimizer.param_groups:
                optimizer.prepare([p for p in group["params"] if p.grad is not None])
    optimizer.step()
    for group, lr in zip(optimizer.param_groups, rates, strict=True):
        if group["lr"] != lr:
            raise UserError(
                f"optimizer {type(optimizer).__name__}: its step changes lr from {lr:g} to "
                f"{group['lr']:g}; a schedule sets lr before each step, so keep an adapted rate in "
                "the optimizer's state, or write a gdframe.Schedule"
            )
    return loss.detach(), norm
