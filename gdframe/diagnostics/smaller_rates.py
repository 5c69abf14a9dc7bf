"""A smaller learning rate that trains, from short runs from the same start.

Advice for a run that diverged where no limit is known: a few smaller learning rates are tried as
one run group.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.learning_rate.trials import set_lr
from gdframe.diagnostics.smaller_rates_result import SmallerRatesResult
from gdframe.engines.auto import build_engine
from gdframe.engines.base import Engine, Problem
from gdframe.engines.problem_state import copied
from gdframe.engines.units import objective_unit
from gdframe.errors import UserError
from gdframe.loaders.base import Loader
from gdframe.models.plain import is_linear_in_parameters

DIVISORS = (2.0, 5.0, 10.0, 30.0, 100.0, 1_000.0, 10_000.0)
"""Divisors of the learning rate that diverged."""

MOST_LINEAR_STEPS, MOST_STEPS, WORK = 2_000, 200, 2e9
"""Most steps of a trial, of linear models and of others; most products of rows and parameters."""

MOST_STORED = 1_000_000
"""Most parameters of a model whose starting values are stored."""


class SmallerRates:
    """Smaller learning rates than a run's, each trained for a while from the run's start.

    Args:
        run: before its first step; it stays as it is.
        data: what it trains on.
        loader: which rows each step sees.
        epochs: the run's limit, by which schedules count.
    """

    def __init__(self, run: Problem, data: Dataset, loader: Loader, epochs: int) -> None:
        self._run, self._data, self._loader, self._epochs = run, data, loader, epochs
        self.lr = float(run.optimizer.param_groups[0]["lr"])
        named = {n: p for n, p in run.objective.model.named_parameters() if p.requires_grad}
        self._size = sum(p.numel() for p in named.values())
        is_small = self._size <= MOST_STORED
        self._start = {n: p.detach().clone() for n, p in named.items()} if is_small else {}

    def result(self) -> SmallerRatesResult | None:
        """Train with each learning rate; None if that would take long."""
        is_linear = is_linear_in_parameters(self._run.objective.model)
        per_step = len(DIVISORS) * 6.0 * self._size * self._loader.batch_size
        whole = self._loader.steps_per_epoch * self._epochs
        steps = min(whole, MOST_LINEAR_STEPS if is_linear else MOST_STEPS, int(WORK / per_step))
        if steps < min(whole, 20) or not self._start:
            return None
        rates = sorted(self.lr / divisor for divisor in DIVISORS)
        try:
            start, objectives = self._train(rates, steps, "auto" if is_linear else "eager")
        except UserError:
            raise
        except Exception:  # a component may raise anything where its numbers are too large
            trials = [self._train_alone(rate, steps) for rate in rates]
            start = min(start for start, _ in trials)
            objectives = [objective for _, objective in trials]
        return SmallerRatesResult(rates, objectives, start, steps)

    def _train(self, rates: list[float], steps: int, engine: str) -> tuple[float, list[float]]:
        """Return the objective at the start, and after the steps for each learning rate."""
        parts = [self._restarted(rate) for rate in rates], self._data, self._loader
        group = build_engine(engine, *parts, epochs=self._epochs)
        start = group.evaluate("train", whole=False)[0].objective
        unit = objective_unit(self._run.objective.loss, self._data)
        return start * unit, [end * unit for end in _train(group, steps)]

    def _train_alone(self, lr: float, steps: int) -> tuple[float, float]:
        """Return the objective at the start and after the steps; infinite if a step raises."""
        try:
            start, (objective,) = self._train([lr], steps, "eager")
        except UserError:
            raise
        except Exception:
            return math.inf, math.inf
        return start, objective

    def _restarted(self, lr: float) -> Problem:
        """Return a copy of the run at its start, with another learning rate."""
        objective, optimizer = copied(self._run)
        with torch.no_grad():
            for name, parameter in objective.model.named_parameters():
                if name in self._start:
                    parameter.copy_(self._start[name])
                parameter.grad = None
        optimizer.state.clear()
        set_lr(optimizer, lr)
        return replace(self._run, objective=objective, optimizer=optimizer, metrics={})


def _train(engine: Engine, steps: int) -> list[float]:
    """Execute steps; return the objective of each run, infinite where a step was not finite."""
    is_finite, done = np.ones(len(engine.runs), dtype=bool), 0
    while done < steps and is_finite.any():
        last = min(steps, engine.clock.epoch_end(done))
        is_finite &= engine.advance(done, last).finite_steps() == last - done
        done = last
    ends = [evaluation.objective for evaluation in engine.evaluate("train", whole=False)]
    return [
        end if fine and math.isfinite(end) else math.inf
        for end, fine in zip(ends, is_finite, strict=True)
    ]
