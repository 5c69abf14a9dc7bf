"""What an engine is: something that advances R runs through the steps of an epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.loaders.base import Loader
from gdframe.objective import Objective
from gdframe.schedules.base import Clock, Schedule


@dataclass(frozen=True)
class Run:
    """What differs from run to run: starting values, hyperparameters, schedule and seed.

    Args:
        objective: model, loss and penalty; its parameters are where the run starts, and where an
            engine leaves it.
        optimizer: the update rule, bound to the model's parameters.
        schedule: factor of the optimizer's learning rate by step.
        seed: of the order of rows.
    """

    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    seed: int


@dataclass(frozen=True)
class Trace:
    """What every step measured before its update, as arrays (runs, steps).

    Args:
        loss: of the step's batch, without penalty.
        gradient_norm: of the objective's gradient on that batch, before clipping.
    """

    loss: NDArray[np.floating[Any]]
    gradient_norm: NDArray[np.floating[Any]]


class Engine(ABC):
    """Base of engines. All R >= 1 runs share data, loader and structure.

    Args:
        runs: one for each run.
        data: what they train on.
        loader: which rows each update sees.
        epochs: the limit on epochs, for schedules that last as long as the run.
    """

    def __init__(self, runs: Sequence[Run], data: Dataset, loader: Loader, *, epochs: int) -> None:
        self.runs, self.data, self.loader = list(runs), data, loader
        self.clock = Clock(loader.steps_per_epoch, epochs)

    @classmethod
    def why_not(cls, runs: Sequence[Run], data: Dataset, loader: Loader) -> str | None:
        """Say in words a user can act on why this engine cannot execute the runs, or None."""
        return None

    @abstractmethod
    def advance(self, first: int, last: int) -> Trace:
        """Execute steps ``first`` to ``last - 1`` of all runs, counted from 0 over the whole run.

        The steps lie within one epoch. How an epoch is cut into calls changes nothing.
        """

    @abstractmethod
    def state(self, run: int) -> dict[str, Tensor]:
        """Return copies of everything a run needs to go on: parameters, buffers, optimizer state.

        Names start with ``model.`` (as in the module's ``state_dict``) or ``optimizer.``.
        """

    @abstractmethod
    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned.

        Raises:
            ValueError: names or shapes are not this run's.
        """

    def parameters(self) -> dict[str, Tensor]:
        """Return the current parameters of all runs, (runs, ...) for each name."""
        named = [dict(run.objective.model.named_parameters()) for run in self.runs]
        return {name: torch.stack([p[name].detach() for p in named]) for name in named[0]}
