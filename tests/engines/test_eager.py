"""The plain loop: its variants agree with each resumed and with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import SGDClassifier, SGDRegressor
from torch import nn

import gdframe as gd
from gdframe.engines import Eager, Problem

from .problems import stacked

DATA = gd.Regression(rows=24, features=3, validation=0.0).load(dtype=torch.float64)


def run_of(loader_seed: int = 0, lr: float = 0.05, optimizer: str = "gd", data=DATA) -> Problem:
    model = gd.Linear(data.features).double()
    rule = gd.OPTIMIZERS.build(optimizer, params=model.parameters(), lr=lr)
    return Problem(gd.Objective(model, gd.MSE()), rule, gd.Constant(), loader_seed)


def train(loader, runs, epochs: int = 5, data=DATA):
    engine = Eager(runs, data, loader, epochs=epochs)
    per_epoch = loader.steps_per_epoch
    traces = [engine.advance(e * per_epoch, (e + 1) * per_epoch) for e in range(epochs)]
    losses = np.concatenate([t.loss for t in traces], axis=1)
    norms = np.concatenate([t.gradient_norm for t in traces], axis=1)
    return engine, losses, norms


@pytest.mark.parametrize("optimizer", list(gd.OPTIMIZERS))
def test_batch_of_all_rows_equals_full_batch(optimizer):
    whole = train(gd.FullBatch(24), [run_of(optimizer=optimizer)])
    batch = train(gd.MiniBatch(24, 24), [run_of(optimizer=optimizer)])
    for a, b in zip(whole[1:], batch[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for name, values in stacked(whole[0]).items():
        torch.testing.assert_close(values, stacked(batch[0])[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", list(gd.OPTIMIZERS))
def test_batch_of_one_row_equals_per_sample(optimizer):
    single = train(gd.PerSample(24), [run_of(optimizer=optimizer)])
    batch = train(gd.MiniBatch(24, 1), [run_of(optimizer=optimizer)])
    for a, b in zip(single[1:], batch[1:], strict=True):
        assert np.array_equal(a, b)


def test_runs_are_independent_of_their_neighbours():
    settings = [(0, 0.05), (0, 0.1), (3, 0.05)]
    engine, losses, norms = train(gd.MiniBatch(24, 5), [run_of(*s) for s in settings])
    assert losses.shape == norms.shape == (3, 25)
    assert stacked(engine)["weight"].shape == (3, 1, 3)
    for index, setting in enumerate(settings):
        alone = train(gd.MiniBatch(24, 5), [run_of(*setting)])
        assert np.array_equal(alone[1][0], losses[index])
        assert torch.equal(stacked(alone[0])["weight"][0], stacked(engine)["weight"][index])


def test_the_cutting_of_an_epoch_into_calls_changes_nothing():
    whole = train(gd.PerSample(24), [run_of()], epochs=1)
    engine = Eager([run_of()], DATA, gd.PerSample(24), epochs=1)
    parts = [engine.advance(a, b).loss for a, b in ((0, 1), (1, 7), (7, 24))]
    assert np.array_equal(np.concatenate(parts, axis=1), whole[1])
    assert torch.equal(stacked(engine)["weight"], stacked(whole[0])["weight"])


@pytest.mark.parametrize("optimizer", list(gd.OPTIMIZERS))
def test_state_round_trip_continues_bit_for_bit(optimizer):
    engine, _, _ = train(gd.MiniBatch(24, 5), [run_of(optimizer=optimizer)], epochs=2)
    state = engine.state(0)
    after = engine.advance(10, 15)
    resumed = Eager([run_of(optimizer=optimizer)], DATA, gd.MiniBatch(24, 5), epochs=2)
    resumed.load_state(0, state)
    assert np.array_equal(resumed.advance(10, 15).loss, after.loss)
    assert torch.equal(stacked(resumed)["weight"], stacked(engine)["weight"])


def test_state_of_another_model_is_refused():
    engine = Eager([run_of()], DATA, gd.FullBatch(24), epochs=1)
    with pytest.raises(ValueError, match="another model"):
        engine.load_state(0, {"model.weight": torch.zeros(1, 9)})


def test_any_torch_optimizer_runs_and_resumes():
    def run() -> Problem:
        model = gd.Linear(3).double()
        rule = torch.optim.AdamW(model.parameters(), lr=0.1)
        return Problem(gd.Objective(model, gd.MSE()), rule, gd.Constant(), 0)

    engine, _, _ = train(gd.FullBatch(24), [run()], epochs=3)
    resumed = Eager([run()], DATA, gd.FullBatch(24), epochs=3)
    resumed.load_state(0, engine.state(0))
    assert np.array_equal(engine.advance(3, 4).loss, resumed.advance(3, 4).loss)
    assert torch.equal(stacked(engine)["weight"], stacked(resumed)["weight"])


class FunctionalDropout(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, self.training)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), FunctionalDropout()])
def test_dropout_is_a_function_of_seed_and_step(layer):
    def run() -> Problem:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), layer, nn.Linear(8, 1)).double()
        return Problem(
            gd.Objective(model, gd.MSE()), gd.GD(model.parameters(), 0.01), gd.Constant(), 5
        )

    whole = train(gd.MiniBatch(24, 8), [run()], epochs=1)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    engine = Eager([run()], DATA, gd.MiniBatch(24, 8), epochs=1)
    torch.set_rng_state(before)
    parts = [engine.advance(0, 2).loss, engine.advance(2, 3).loss]
    assert np.array_equal(np.concatenate(parts, axis=1), whole[1])
    assert torch.equal(torch.get_rng_state(), before)  # torch's generator is unchanged


def test_per_sample_without_shuffling_equals_sgd_regressor():
    x, y = DATA.train.features.numpy(), DATA.train.targets.numpy()[:, 0]
    # its loss is half of the squared error, so its learning rate is twice that of gdframe
    peer = SGDRegressor(
        penalty=None, learning_rate="constant", eta0=0.02, shuffle=False, max_iter=7, tol=None
    ).fit(x, y)
    engine, _, _ = train(gd.PerSample(24, shuffle=False), [run_of(lr=0.01)], epochs=7)
    weights = stacked(engine)
    np.testing.assert_allclose(weights["weight"][0, 0].numpy(), peer.coef_, rtol=1e-8)
    np.testing.assert_allclose(weights["bias"][0].numpy(), peer.intercept_, rtol=1e-8)


def test_per_sample_without_shuffling_equals_sgd_classifier():
    data = gd.BreastCancer(validation=0.0).load(dtype=torch.float64)
    x, y = data.train.features.numpy(), data.train.targets.numpy()
    peer = SGDClassifier(
        loss="log_loss", penalty=None, learning_rate="constant", eta0=0.01, shuffle=False,
        max_iter=4, tol=None,
    ).fit(x, y)  # fmt: skip
    model = gd.Linear(data.features).double()
    run = Problem(
        gd.Objective(model, gd.BinaryCrossEntropy()), gd.GD(model.parameters(), 0.01),
        gd.Constant(), 0,
    )  # fmt: skip
    loader = gd.PerSample(data.rows, shuffle=False)
    engine, _, _ = train(loader, [run], epochs=4, data=data)
    weights = stacked(engine)
    np.testing.assert_allclose(weights["weight"][0, 0].numpy(), peer.coef_[0], rtol=1e-8)
    np.testing.assert_allclose(weights["bias"][0].numpy(), peer.intercept_, rtol=1e-8)


def test_traces_measure_before_the_update():
    engine = Eager([run_of()], DATA, gd.FullBatch(24), epochs=1)
    start = engine.runs[0].objective.evaluate(DATA.train, DATA, gradient=True)
    trace = engine.advance(0, 1)
    assert trace.loss[0, 0] == pytest.approx(start.loss, rel=1e-12)
    assert trace.gradient_norm[0, 0] == pytest.approx(start.gradient_norm, rel=1e-12)


def test_the_schedule_sets_the_learning_rate_of_every_step():
    rates = []

    class Spy(gd.GD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    model = gd.Linear(3).double()
    rule = Spy(model.parameters(), lr=0.5)
    run = Problem(gd.Objective(model, gd.MSE()), rule, gd.InverseTime(decay=1.0), 0)
    train(gd.MiniBatch(24, 12), [run], epochs=2)
    np.testing.assert_allclose(rates, 0.5 / (1 + np.array([0, 0.5, 1, 1.5])))
    assert rule.param_groups[0]["lr"] == 0.5


class Counting(torch.optim.Optimizer):
    """Keeps its counter as a Python number, as optimizers of other libraries do."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["step"] = state.get("step", 0) + 1
                p -= group["lr"] * (1 - 0.9 ** state["step"]) * p.grad


@pytest.mark.parametrize("make", [Counting, torch.optim.Adam])
def test_state_of_other_optimizers_comes_back_as_it_was(make):
    model = gd.Linear(DATA.features).double()
    run = Problem(gd.Objective(model, gd.MSE()), make(model.parameters(), lr=0.1), gd.Constant(), 0)
    engine = Eager([run], DATA, gd.FullBatch(DATA.rows), epochs=9)
    engine.advance(0, 1)
    before = {key: type(value) for key, value in run.optimizer.state[model.weight].items()}
    state = engine.state(0)
    engine.load_state(0, state)
    after = run.optimizer.state[model.weight]
    assert {key: type(value) for key, value in after.items()} == before
    assert float(after["step"]) == 1


class BoldDriver(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            group["lr"] *= 0.5


def test_an_optimizer_that_changes_its_own_learning_rate_is_refused():
    model = gd.Linear(3).double()
    optimizer = BoldDriver(model.parameters(), lr=0.5)
    trainer = gd.Trainer(model, gd.MSE(), optimizer, gd.FullBatch(24), DATA, epochs=3)
    with pytest.raises(gd.UserError, match=r"BoldDriver: its step changes lr from 0\.5 to 0\.25"):
        trainer.fit()
    assert optimizer.param_groups[0]["lr"] == 0.5
