"""Searches with components that raise where numbers are large, or that share memory."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.diagnostics.learning_rate.automatic import choose_rate
from gdframe.diagnostics.learning_rate.ramp import Ramp, try_ramp
from gdframe.diagnostics.learning_rate.trials import Trials
from gdframe.diagnostics.smaller_rates import SmallerRates


class Fragile(nn.Module):
    """Raises once its weights have grown."""

    def __init__(self, limit: float = 10.0) -> None:
        super().__init__()
        self.layer, self.limit = nn.Linear(3, 1), limit

    def forward(self, x):
        if not float(self.layer.weight.detach().abs().max()) < self.limit:
            raise ValueError("weights are too large")
        return self.layer(x)


def problem(model, rule=gd.GD, schedule=None, lr=0.01):
    x = np.random.default_rng(0).standard_normal((20, 3))
    data = gd.Dataset.from_arrays(x, x @ [1.0, 2.0, 3.0])
    objective = gd.Objective(model, gd.MSE())
    run = gd.Problem(objective, rule(model.parameters(), lr=lr), schedule or gd.Constant(), 0)
    return run, data, gd.MiniBatch(20, 5)


def test_a_ramp_ends_where_a_model_raises():
    run, data, loader = problem(Fragile(), schedule=Ramp(1e6, 100), lr=1e-4)
    engine = gd.build_engine("eager", [run], data, loader, epochs=25)
    result = try_ramp(engine, 1e-4, 1e2, 100, None)
    measured = np.isfinite(result.values)
    assert 20 < measured.sum() < 100
    assert measured[: measured.sum()].all()


def test_smaller_rates_are_tried_one_by_one_where_a_model_raises():
    run, data, loader = problem(Fragile(), lr=1e3)
    result = SmallerRates(run, data, loader, epochs=10).result()
    assert result is not None
    assert math.isinf(result.objectives[-1])
    assert result.lowest < result.start


class FragileInTraining(Fragile):
    def forward(self, x):
        return super().forward(x) if self.training else self.layer(x)


def test_an_error_in_the_first_step_of_a_ramp_is_raised():
    model = FragileInTraining(limit=0.0)
    run, data, loader = problem(model, schedule=Ramp(1e6, 100), lr=1e-4)
    engine = gd.build_engine("eager", [run], data, loader, epochs=25)
    with pytest.raises(ValueError, match="too large"):
        try_ramp(engine, 1e-4, 1e2, 100, None)


class Shared(nn.Module):
    """Counts the calls of all its instances in its class, and grows with them."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        if self.training:
            Shared.calls += 1
        return self.layer(x) * (1 + Shared.calls)


def test_trials_that_share_a_class_do_not_change_each_other():
    torch.manual_seed(0)
    run, data, loader = problem(Shared())
    trials = Trials(run, data, loader, epochs=3)
    together = trials.train([0.001, 0.002, 0.003], 12)
    assert Shared.calls == 0
    alone = [Trials(run, data, loader, epochs=3).train([lr], 12)[0] for lr in (0.001, 0.002, 0.003)]
    assert together == alone


class Keeps(nn.Module):
    """Keeps what Python does not copy: a module, a lock, and the result of its last call."""

    def __init__(self):
        super().__init__()
        self.layer, self.numpy, self.lock = nn.Linear(3, 1), np, threading.Lock()
        self.scale = nn.Parameter(torch.ones(1))
        self.last = self.scale * 2

    def forward(self, x):
        with self.lock:
            self.last = self.scale * 2
            return self.layer(x) * self.last


def test_rates_are_tried_with_a_model_that_keeps_locks_modules_and_results():
    chosen = choose_rate(*problem(Keeps()), epochs=5)
    assert " has the lowest " in chosen.reason


def test_what_cannot_be_copied_is_named():
    model = Fragile()
    model.numbers = iter([1, 2])
    model.stream = (i for i in range(3))
    chosen = choose_rate(*problem(model), epochs=5)
    assert "cannot copy" in chosen.reason
    assert "generator" in chosen.reason


class Tagged(nn.Module):
    """Holds an object of which copies cannot be compared, so that no group is possible."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.tag = nn.Linear(3, 1), object()

    def forward(self, x):
        return self.layer(x)


def test_rates_are_searched_for_a_model_whose_copies_cannot_be_compared():
    run, data, loader = problem(Tagged())
    plain, *_ = problem(nn.Linear(3, 1))
    plain.objective.model.load_state_dict(run.objective.model.layer.state_dict())
    choices = [choose_rate(p, data, loader, epochs=10).lr for p in (run, plain)]
    assert choices[0] == pytest.approx(choices[1])
