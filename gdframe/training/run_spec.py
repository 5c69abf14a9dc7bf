"""The specification that a run is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.engines.units import gradient_unit, objective_unit
from gdframe.errors import UserError, bad_value
from gdframe.hidden_state import HiddenState
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss
from gdframe.losses.weighting import weighting_of
from gdframe.metrics.base import Metric
from gdframe.metrics.tally import default_metrics
from gdframe.objective import Objective
from gdframe.penalties.base import Penalty
from gdframe.registry import is_built_in
from gdframe.schedules import Clock, Constant, Schedule
from gdframe.stopping import Stopping
from gdframe.training.check_objective import check_objective
from gdframe.training.checks import check_fit, check_kinds, check_metrics, readers_of_rows
from gdframe.training.shifted_targets import refuse_shifted_targets


@dataclass(frozen=True, eq=False)
class RunSpec:
    """All that a run is built from.

    Args:
        model: on the data's device and of its type; its parameters are where the run starts.
        loss: error of a prediction; None for a Function.
        optimizer: bound to the model's parameters.
        loader: decides which rows each update sees.
        data: what to train on; ``Dataset.none()`` for a Function.
        penalty: of the parameters; by default none.
        schedule: factor of the learning rate by step; by default constant.
        stopping: rules that end the run before its limit.
        metrics: of predictions, by name; by default those of the data's task.
        epochs: the limit, at least 1.
        evaluate_every: number of epochs between two evaluations, at least 1; the start and the
            limit are evaluated, too.
        seed: of the order of rows, and of what model and rule draw in steps. The model's starting
            values are drawn before: inside ``gdframe.seeded``, or by ``gdframe.initialize``.

    Raises:
        UserError: an argument is of the wrong kind, or two do not fit each other.
    """

    model: nn.Module
    loss: Loss | None
    optimizer: torch.optim.Optimizer
    loader: Loader
    data: Dataset
    penalty: Penalty | None = None
    schedule: Schedule | None = None
    stopping: Stopping = field(default_factory=Stopping)
    metrics: Mapping[str, Metric] | None = None
    epochs: int = 100
    seed: int = 0
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        check_kinds(vars(self))
        for name in ("epochs", "evaluate_every"):
            if getattr(self, name) < 1:
                raise bad_value(f"{name}={getattr(self, name)}", "a whole number of at least 1")
        loader, data = self.loader, self.data
        if loader.rows != data.rows:
            raise UserError(f"the loader is for {loader.rows} rows, and the data has {data.rows}")
        if readers_of_rows(self.problem):
            _ = data.first_checksum  # before they see the rows
        check_fit(self.model, self.optimizer, data)
        smallest = loader.rows % loader.batch_size or loader.batch_size
        refuse_shifted_targets(self.loss, self.metrics or {}, data)
        check_objective(self.objective, data, smallest=smallest)
        if self.metrics is not None:
            check_metrics(self.metrics, self.problem, data)
        others = [c for c in self.stopping.columns if not c.startswith(("train/", "validation"))]
        self.stopping.check([*self.measured, *others], data.task)

    @cached_property
    def objective(self) -> Objective:
        """Model, loss and penalty, and the weights of rows."""
        weighting = weighting_of(self.loss, self.data)
        return Objective(self.model, self.loss, self.penalty, weighting)

    @cached_property
    def unit(self) -> float:
        """The factor from an objective to the units of the target."""
        return objective_unit(self.loss, self.data)

    @cached_property
    def gradient_unit(self) -> float:
        """The factor from a gradient's norm to the units of the target."""
        return gradient_unit(self.objective, self.data)

    @cached_property
    def problem(self) -> Problem:
        """Return the problem that an engine executes."""
        schedule = self.schedule or Constant()
        problem = Problem(self.objective, self.optimizer, schedule, int(self.seed), self.metrics)
        problem.guard.data = self.data.tensors
        problem.guard.components["loader"] = self.loader
        return problem

    @property
    def named_metrics(self) -> Mapping[str, Metric]:
        """The metrics that are measured, by name."""
        if self.loss is None:
            return {}
        return default_metrics(self.data) if self.metrics is None else self.metrics

    @property
    def measured(self) -> list[str]:
        """Columns of the history that not every run has: its metrics and its validation loss."""
        columns = [f"train/{name}" for name in self.named_metrics]
        if self.data.validation is not None:
            columns += ["validation_loss", *(f"validation/{name}" for name in self.named_metrics)]
        return columns

    def saved_components(self) -> HiddenState:
        """Return a copy of all that an engine is built from, but for parameters and data."""
        components = {
            **self.problem.components,
            # engines read the numbers of built-in penalties again before they begin
            "penalty": type(self.penalty) if is_built_in(self.penalty) else self.penalty,
            "optimizer": self.optimizer.param_groups,
            "update rule": type(self.optimizer),
            "loader": self.loader,
            "stopping": self.stopping.rules,
            "metric": self.metrics,
        }
        trained = (p for p in self.model.parameters() if p.requires_grad)
        return HiddenState(components, draws=False, skip=trained)

    @cached_property
    def clock(self) -> Clock:
        """Return how steps relate to epochs."""
        return Clock(self.loader.steps_per_epoch, self.epochs)

    def is_evaluated(self, step: int) -> bool:
        """Return whether an epoch that is evaluated ends after ``step`` updates."""
        epoch, steps = divmod(step, self.loader.steps_per_epoch)
        return not steps and (not epoch % self.evaluate_every or epoch >= self.epochs)

    @cached_property
    def lr(self) -> float:
        """The learning rate before any schedule."""
        return float(self.optimizer.param_groups[0]["lr"])
