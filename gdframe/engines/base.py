"""The base class of engines, which execute the steps of R runs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.errors import UserError
from gdframe.hidden_state import Guard, HiddenState, with_state
from gdframe.hidden_state.in_place import unchanged_rows
from gdframe.hidden_state.user_code import place_that_asks_for_gradients
from gdframe.loaders.base import Loader
from gdframe.metrics.base import Metric
from gdframe.metrics.tally import Tally, default_metrics
from gdframe.objective import Evaluation, Objective
from gdframe.registry import ENGINES
from gdframe.schedules.base import Clock, Schedule

UPDATES = {
    "batch": "full-batch updates",
    "sgd": "per-sample updates",
    "minibatch": "mini-batch updates",
}
"""Names of the updates of each variant, for messages."""

UNKNOWN = Evaluation(math.nan, math.nan, {}, {})
"""The evaluation of a run that has ended."""

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Problem:
    """The part of a run that an engine executes: objective, update rule, schedule and seed.

    Args:
        objective: model, loss and penalty; its parameters are where the run starts, and where an
            engine leaves it.
        optimizer: the update rule, bound to the model's parameters.
        schedule: factor of the optimizer's learning rate by step.
        seed: of the order of rows.
        metrics: measured in evaluations, by name; by default those of the data's task.
    """

    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    seed: int
    metrics: Mapping[str, Metric] | None = None

    def evaluate(self, rows: Rows, data: Dataset, *, gradient: bool) -> Evaluation:
        """Return the objective and the metrics over rows, as ``Objective.evaluate`` does.

        Raises:
            UserError: a component changes the rows.
        """
        objective, tally = self.objective, self.tally(data, rows)
        with unchanged_rows(objective.model, objective.loss, rows.features, rows.targets):
            evaluation = objective.evaluate(rows, data, gradient=gradient, tally=tally)
            if not gradient or not self.asks_for_gradients:
                return evaluation
            tally = self.tally(data, rows)
            value = objective.evaluate(rows, data, gradient=False, tally=tally)
            return replace(value, gradient_norms=evaluation.gradient_norms)

    @cached_property
    def asks_for_gradients(self) -> str | None:
        """The place where a component may compute something else where gradients are off."""
        return place_that_asks_for_gradients(self.objective.components)

    def measured(self, data: Dataset) -> Mapping[str, Metric]:
        """Return the metrics that are measured on data, by name."""
        return default_metrics(data) if self.metrics is None else self.metrics

    def tally(self, data: Dataset, rows: Rows) -> Tally:
        """Return an empty tally of the run's metrics over rows, which are encoded."""
        loss, classes = self.objective.loss, data.classes
        return Tally(self.measured(data), loss, rows, self.guard, self.seed, classes=classes)

    @cached_property
    def guard(self) -> Guard:
        """The guard around calls of components that nothing may change but steps."""
        return Guard(self.components)

    @cached_property
    def trained(self) -> list[str]:
        """The parameters that are trained when an engine is built; training may change which."""
        named = self.objective.model.named_parameters()
        return [name for name, parameter in named if parameter.requires_grad]

    @property
    def components(self) -> dict[str, Any]:
        """Return the components that only steps may change, by their names in messages."""
        others = {"optimizer": self.optimizer, "schedule": self.schedule}
        return {**self.objective.components, **others}


@dataclass(frozen=True)
class Trace:
    """Loss and gradient norm of each step, measured before its update, (runs, steps) each.

    Args:
        loss: of the step's batch, without penalty.
        gradient_norm: of the objective's gradient on that batch, before clipping.
    """

    loss: NDArray[np.floating[Any]]
    gradient_norm: NDArray[np.floating[Any]]

    def of_run(
        self, run: int, unit: float, slope: float
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Return loss and gradient norm of a run by step, times ``unit`` and ``slope``."""
        loss, norm = self.loss[run], self.gradient_norm[run]
        if unit == slope == 1:
            return loss, norm
        return loss.astype(float) * unit, norm.astype(float) * slope

    def finite_steps(self) -> NDArray[np.int64]:
        """Return how many steps of each run come before the first that is not finite, (runs,)."""
        steps = self.loss.shape[1]
        # a sum of finite numbers is finite, but for overflow, which the full test clears up
        sums = self.loss.sum(1, dtype=np.float64) + self.gradient_norm.sum(1, dtype=np.float64)
        counts = np.full(len(sums), steps)
        for run in np.flatnonzero(~np.isfinite(sums)):
            bad = ~(np.isfinite(self.loss[run]) & np.isfinite(self.gradient_norm[run]))
            counts[run] = bad.argmax() if bad.any() else steps
        return counts


@dataclass(frozen=True)
class Estimate:
    """A rough estimate of the seconds that an engine needs, for choosing among engines only.

    Args:
        setup: before the first step, compilation above all.
        step: for one step of all runs.
    """

    setup: float
    step: float


class CannotExecute(UserError):  # noqa: N818 (it is a refusal with a reason, not a failure)
    """An engine finds, while it is built, that it cannot execute its runs.

    Args:
        engine: the engine, or its name.
        reason: in words a user can act on.
    """

    def __init__(self, engine: Engine | str, reason: str) -> None:
        name = engine if isinstance(engine, str) else ENGINES.name_of(engine)
        super().__init__(f"engine={name} cannot execute this: {reason}")
        self.reason = reason


@contextmanager
def refuse_changes(
    engine: Engine | str, components: Mapping[str, Any], reason: str, skip: Iterable[object] = ()
) -> Iterator[None]:
    """Refuse an engine if the block changes what components keep, which is restored.

    Args:
        engine: the engine, or its name.
        components: the components, by the names of messages.
        reason: of the refusal, with ``{}`` for the place that changes.
        skip: objects that may change.

    Raises:
        CannotExecute: something changes.
    """
    components = with_state(components)
    with HiddenState(components, skip=skip) if components else nullcontext() as saved:
        yield
        if saved is not None and (place := saved.changed()) is not None:
            raise CannotExecute(engine, reason.format(place))


class Engine(ABC):
    """Base of engines. All R >= 1 runs share data, loader and structure.

    Args:
        runs: the problem of each run.
        data: what they train on.
        loader: which rows each update sees.
        epochs: the limit on epochs, for schedules that last as long as the run.

    Raises:
        CannotExecute: ``why_not`` has a reason, or the engine meets one while it is built.
    """

    measures_all: bool = True
    """True if ``evaluate`` computes all metrics even if the caller does not ask for them."""

    runs_on_gpu: bool = True
    """False if data on a GPU are always refused, so that ``device=auto`` takes the CPU."""

    reason: str = ""
    """Why ``engine=auto`` chose this engine; empty where the user named it."""

    rebuild_seconds: float = 0.0
    """About how many seconds it takes to build this engine again for fewer runs."""

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        if why_not := self.why_not(runs, data, loader):
            raise CannotExecute(self, why_not)
        self.runs, self.data, self.loader = list(runs), data, loader
        self.epochs = epochs
        self.retired: set[int] = set()
        self.clock = Clock(loader.steps_per_epoch, epochs)
        encode = self.runs[0].objective.encode
        self.rows: dict[str, Rows | None] = {
            "train": encode(data.train),
            "validation": data.validation and encode(data.validation),
        }

    @classmethod
    def why_not(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
        """Return why this engine cannot execute the runs, in words a user can act on, or None."""
        return None

    @classmethod
    @abstractmethod
    def estimate(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> Estimate:
        """Return about how long it takes to execute the runs."""

    @classmethod
    def describe(cls, loader: Loader) -> str:
        """Return a few words on what this engine does for such runs."""
        return UPDATES.get(loader.variant, "updates")

    def copy_from_modules(self) -> None:  # noqa: B027 (most engines train the module itself)
        """Copy parameters and optimizer states from the modules again, where the engine has copies.

        Raises:
            UserError: an optimizer's settings are no longer those that the engine was built for.
        """

    def verify(self) -> None:  # noqa: B027 (the plain loop is the definition)
        """Compare a few steps from random values with the plain loop; leave all runs as they are.

        Raises:
            Exception: they differ, or cannot be executed.
        """

    @abstractmethod
    def advance(self, first: int, last: int) -> Trace:
        """Execute steps ``first`` to ``last - 1`` of all runs, counted from 0 over the whole run.

        The steps lie within one epoch. How an epoch is cut into calls changes nothing.
        """

    @abstractmethod
    def state(self, run: int) -> dict[str, Tensor]:
        """Return copies of everything a run needs to go on: parameters, buffers, optimizer state.

        Names start with ``model.`` (as in the module's ``state_dict``) or ``optimizer.``, and are
        the same for all engines.
        """

    @abstractmethod
    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned, of this engine or of another.

        Raises:
            ValueError: names or shapes are not this run's.
        """

    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Return the objective of each run over all rows of a part, with gradient for ``train``.

        Args:
            part: which rows.
            whole: whether metrics that cost more than the engine's steps are wanted too; where
                they are not, they may be NaN.

        Raises:
            ValueError: there are no such rows.
        """
        rows = self._part(part)
        return [
            UNKNOWN
            if index in self.retired
            else run.evaluate(rows, self.data, gradient=part == "train")
            for index, run in enumerate(self.runs)
        ]

    def retire(self, run: int) -> None:
        """Leave a run's module alone from now on: the run has ended."""
        self.retired.add(run)

    def only(self, runs: Sequence[int]) -> Engine:
        """Return an engine of this kind that continues with some of the runs."""
        chosen = [self.runs[run] for run in runs]
        states = [self.state(run) for run in runs]
        engine = type(self)(chosen, self.data, self.loader, epochs=self.epochs)
        for at, state in enumerate(states):
            engine.load_state(at, state)
        engine.reason = self.reason
        return engine

    def alone(self, run: int) -> Engine:
        """Return an engine that can execute steps of one run again at once."""
        return self if len(self.runs) == 1 else self.only([run])

    def copy_to_module(self, run: int) -> None:  # noqa: B027 (most engines hold them in the module)
        """Copy a run's parameters to its module, and its state to its optimizer."""

    def parameters(self, run: int) -> dict[str, Tensor]:
        """Return a run's current parameters, detached, to be read before the next step."""
        named = self.runs[run].objective.model.named_parameters()
        return {name: parameter.detach() for name, parameter in named}

    def _part(self, part: Part) -> Rows:
        rows = self.rows[part]
        if rows is None:
            raise ValueError("there are no validation rows")
        return rows

    def _constant_design(self, model: nn.Module) -> AbstractContextManager[None]:
        """Refuse a model that changes when its design is computed in the block."""
        reason = "its {} changes when its design is computed"
        return refuse_changes(self, {"model": model}, reason)
