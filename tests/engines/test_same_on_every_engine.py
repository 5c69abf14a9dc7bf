"""Optimizer state, module and observers have the same content on every engine."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from thinned import thinned
from torch import nn

import gdframe as gd

DATA = gd.Regression(rows=20, features=3, validation=0.2).load(dtype=torch.float64)
ENGINES = [
    ("linear", gd.MiniBatch(DATA.rows, 4)),
    ("gram", gd.FullBatch(DATA.rows)),
    pytest.param("compiled", gd.MiniBatch(DATA.rows, 4), marks=pytest.mark.slow),
]


def train(engine, loader, model, optimizer, epochs=5, **more):
    trainer = gd.Trainer(
        model, gd.MSE(), optimizer, loader, DATA, engine=engine, epochs=epochs,
        stopping=gd.Stopping(tolerance=None), **more,
    )  # fmt: skip
    return trainer.fit()


@pytest.mark.parametrize("rule", thinned([gd.Adam, gd.Momentum], 2))
@pytest.mark.parametrize(("engine", "loader"), ENGINES)
def test_an_optimizers_state_is_used_and_updated(engine, loader, rule):
    ends = []
    for name in ("eager", engine):
        model = gd.Linear(3).double()
        optimizer = rule(model.parameters(), lr=0.02)
        for _ in range(2):
            train(name, loader, model, optimizer)
        state = [dict(optimizer.state[p]) for p in model.parameters()]
        ends.append((list(model.parameters()), state))
    (eager_params, eager_states), (params, states) = ends
    for p, q, expected, state in zip(eager_params, params, eager_states, states, strict=True):
        torch.testing.assert_close(q, p, rtol=1e-9, atol=1e-12)
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("engine", "loader"), ENGINES)
def test_a_run_begins_from_the_module_and_optimizer_at_the_call_of_fit(engine, loader):
    ends = []
    for name in ("eager", engine):
        model = gd.Linear(3).double()
        optimizer = gd.Momentum(model.parameters(), lr=0.02)
        trainer = gd.Trainer(model, gd.MSE(), optimizer, loader, DATA, engine=name, epochs=3)
        with torch.no_grad():
            model.weight.fill_(0.5)
        ends.append(trainer.fit().history["objective"])
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-9)


@pytest.mark.parametrize(("engine", "loader"), ENGINES[:2])
def test_settings_that_change_after_an_engine_was_built_are_refused(engine, loader):
    model = gd.Linear(3).double()
    optimizer = gd.Momentum(model.parameters(), lr=0.02)
    trainer = gd.Trainer(model, gd.MSE(), optimizer, loader, DATA, engine=engine, epochs=3)
    optimizer.param_groups[0]["momentum"] = 0.5
    with pytest.raises(gd.UserError, match=r"momentum.* was changed after"):
        trainer.fit()


class Looks(gd.Observer):
    """Evaluates a module and reads an optimizer's state at each event."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer
        self.outputs, self.velocities = [], []

    def look(self):
        with torch.no_grad():
            self.outputs.append(self.model(DATA.train.features[:2]).clone())
        state = self.optimizer.state.get(self.model.weight, {})
        self.velocities.append(state.get("velocity", torch.zeros(1, 3).double()).clone())

    def on_start(self, run):
        self.look()

    def on_epoch(self, run):
        self.look()

    def on_end(self, run, result):
        self.look()


@pytest.mark.parametrize(("engine", "loader"), ENGINES)
def test_observers_see_the_current_state_of_the_run(engine, loader):
    seen = []
    for name in ("eager", engine):
        model = gd.Linear(3).double()
        optimizer = gd.Momentum(model.parameters(), lr=0.02)
        looks = Looks(model, optimizer)
        train(name, loader, model, optimizer, observers=[looks])
        seen.append(looks)
    for expected, actual in zip(seen[0].outputs, seen[1].outputs, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
    for expected, actual in zip(seen[0].velocities, seen[1].velocities, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


class Unreachable(gd.Observer):
    def on_epoch(self, run):
        raise ConnectionError("no route to the tracking server")


def test_an_observers_error_ends_the_run_as_failed():
    model = gd.Linear(3).double()
    result = train("linear", ENGINES[0][1], model, gd.GD(model.parameters(), 0.01),
                   observers=[Unreachable()])  # fmt: skip
    assert str(result.status) == "failed"
    assert "observer Unreachable raised ConnectionError in on_epoch: no route" in result.reason


def test_a_random_first_state_is_a_function_of_the_seed():
    class Random(gd.Optimizer):
        @staticmethod
        def init_state(params):
            return {"v": [torch.randn_like(p) for p in params]}

        @staticmethod
        def update(params, grads, state, hyper):
            return [p - 0.01 * v for p, v in zip(params, state["v"])], state

    ends = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(ends))
        model = gd.Linear(3).double()
        train("eager", ENGINES[0][1], model, Random(model.parameters(), {"lr": 0.1}), seed=seed)
        ends.append(copy.deepcopy(model.weight))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_models_draws_in_evaluation_are_a_function_of_the_seed():
    class Sampled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            return self.layer(x + (0.0 if self.training else torch.randn_like(x)))

    results = []
    for _ in range(2):
        with gd.seeded(0, gd.Purpose.INITIALIZE):
            model = Sampled().double()
        results.append(
            train("eager", ENGINES[0][1], model, gd.GD(model.parameters(), 0.01)).objective
        )
    assert results[0] == results[1]
