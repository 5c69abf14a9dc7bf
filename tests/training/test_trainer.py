"""The loop: verdicts, resuming bit for bit, the last finite state, observers."""

from __future__ import annotations

import math
import os
import signal
from itertools import product

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.stopping import Status
from gdframe.training import blocks, replay

DATA = gd.Regression(rows=60, features=3, noise=0.5).load(dtype=torch.float64)


def make(lr=0.05, *, loader=None, optimizer="gd", epochs=20, schedule="constant", **more):
    dtype = more.pop("dtype", torch.float64)
    data = more.pop("data", DATA)
    model = gd.Linear(data.features).to(dtype)
    rule = gd.OPTIMIZERS.build(optimizer, params=model.parameters(), lr=lr)
    settings = {"stopping": gd.Stopping(tolerance=None), **more}
    settings.setdefault("engine", "eager")
    return gd.Trainer(
        model, gd.MSE(), rule, loader or gd.MiniBatch(data.rows, 7), data, epochs=epochs,
        schedule=gd.SCHEDULES.build(schedule), **settings,
    )  # fmt: skip


def test_full_batch_reaches_least_squares_on_diabetes():
    data = gd.Diabetes(validation=0.0).load(dtype=torch.float64)
    model = gd.Linear(data.features).double()
    rule = gd.Nesterov(model.parameters(), lr=0.1, beta=0.97)
    stopping = gd.Stopping(tolerance=None, gradient_tolerance=1e-9)
    result = gd.Trainer(
        model, gd.MSE(), rule, gd.FullBatch(data.rows), data, epochs=20_000, stopping=stopping
    ).fit()
    x = np.column_stack([data.train.features.numpy(), np.ones(data.rows)])
    exact, *_ = np.linalg.lstsq(x, data.train.targets.numpy()[:, 0], rcond=None)
    found = torch.cat([model.weight[0], model.bias]).detach().numpy()
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_plain_gradient_descent_reaches_least_squares_too():
    trainer = make(0.2, loader=gd.FullBatch(48), epochs=2000)
    trainer.fit()
    x = np.column_stack([DATA.train.features.numpy(), np.ones(48)])
    exact, *_ = np.linalg.lstsq(x, DATA.train.targets.numpy()[:, 0], rcond=None)
    found = torch.cat([p.flatten() for p in trainer.run.parameters().values()]).numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-6)


CUTS = [
    *product(["eager"], gd.OPTIMIZERS, ["full_batch", "per_sample", "mini_batch"], ["cosine"]),
    *product(["linear"], ["adam", "momentum"], ["full_batch", "per_sample", "mini_batch"],
             ["warmup"]),
    *product(["gram"], gd.OPTIMIZERS, ["full_batch"], ["cosine"]),
    ("compiled", "adam", "mini_batch", "cosine"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "engine", "optimizer", "loader", "schedule"),
    [pytest.param(dtype, *cut, marks=() if (number + first) % 2 else pytest.mark.slow)
     for first, dtype in enumerate([torch.float32, torch.float64])
     for number, cut in enumerate(CUTS) if dtype == torch.float32 or cut[0] != "compiled"],
)  # fmt: skip
def test_a_run_cut_anywhere_goes_on_bit_for_bit(engine, optimizer, loader, schedule, dtype):
    data = gd.Regression(rows=60, features=3, noise=0.5).load(dtype=dtype)
    loader = gd.LOADERS.build(loader, rows=data.rows, batch_size=7)
    given = {"dtype": dtype, "data": data, "optimizer": optimizer, "loader": loader}
    given |= {"schedule": schedule, "epochs": 4, "lr": 0.02, "engine": engine}
    whole = make(**given)
    result = whole.fit()

    class Cut(gd.Observer):
        def on_block(self, run, kept):
            captures.append(run.capture())

    captures: list = []
    make(**given, observers=[Cut()]).fit()
    for capture in (captures[0], captures[len(captures) // 2], captures[-1]):
        resumed = make(**given)
        resumed.run.restore(capture)
        again = resumed.fit()
        for name, values in whole.run.parameters().items():
            assert torch.equal(values, resumed.run.parameters()[name])
        assert again.objective == result.objective
        assert again.steps == result.steps
        for column, values in result.history.epochs.items():
            if column != "seconds":
                assert np.array_equal(values, again.history[column]), column
        for column, values in result.history.steps.items():
            assert np.array_equal(values, again.history.steps[column]), column


def test_an_observer_gets_its_state_back_amid_and_after_an_epoch():
    class Counts(gd.Observer):
        def __init__(self):
            self.blocks, self.epochs = 0, 0
            self.states: list = []
            self.loaded: dict = {}

        def on_block(self, run, kept):
            self.blocks += 1
            captures.append(run.capture())
            self.states.append((self.blocks, self.epochs))

        def on_epoch(self, run):
            self.epochs += 1
            captures.append(run.capture())
            self.states.append((self.blocks, self.epochs))

        def state(self):
            return {"counts": torch.tensor([self.blocks, self.epochs])}

        def load_state(self, state):
            self.loaded = dict(state)

    captures: list = []
    first = Counts()
    make(epochs=3, observers=[first]).fit()
    assert first.loaded == {}
    assert {epochs for _, epochs in first.states} == {0, 1, 2, 3}
    for capture, state in zip(list(captures), first.states, strict=True):
        again = Counts()
        resumed = make(epochs=4, observers=[again])
        resumed.run.restore(capture)
        resumed.fit()
        assert again.loaded["counts"].tolist() == list(state)


def test_divergence_names_the_step_and_keeps_the_last_finite_state():
    trainer = make(100.0, dtype=torch.float32, loader=gd.PerSample(48), data=gd.Regression(
        rows=60, features=3, noise=0.5).load())  # fmt: skip
    result = trainer.fit()
    assert result.status == Status.DIVERGED
    step = int(result.reason.split("step ")[1].split(";")[0].split(" ")[0])
    assert "learning rate 100 is too large: try 10" in result.reason
    assert step - 4 <= result.steps < step
    assert all(p.isfinite().all() for p in trainer.run.parameters().values())
    assert math.isfinite(result.train_loss)


def test_a_run_resumed_just_before_it_diverges_ends_the_same(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_SECONDS", 1e-9)  # blocks of one step
    given = {"lr": 3.0, "loader": gd.MiniBatch(48, 2), "epochs": 400}
    given["stopping"] = gd.Stopping(divergence_factor=1e300)
    captures = []

    class Every(gd.Observer):
        def on_block(self, run, kept):
            if run.is_finite():
                captures.append(run.capture())

    result = make(**given, observers=[Every()]).fit()
    assert result.status == Status.DIVERGED
    assert captures[-1].facts["step"] == result.steps
    for capture in captures[-3:]:
        resumed = make(**given)
        resumed.run.restore(capture)
        again = resumed.fit()
        assert (again.reason, again.steps) == (result.reason, result.steps)
        assert again.objective == result.objective
        assert math.isfinite(again.objective)


@pytest.mark.parametrize("snapshot", [0.0, 1e9])
@pytest.mark.parametrize("block", [1e-9, 10.0])
def test_divergence_does_not_depend_on_timing(snapshot, block, monkeypatch):
    monkeypatch.setattr(replay, "SNAPSHOT_SECONDS", snapshot)
    monkeypatch.setattr(blocks, "BLOCK_SECONDS", block)
    trainer = make(3.0, loader=gd.MiniBatch(48, 7), epochs=400, stopping=gd.Stopping(
        divergence_factor=1e300))  # fmt: skip
    result = trainer.fit()
    monkeypatch.undo()
    expected = make(3.0, loader=gd.MiniBatch(48, 7), epochs=400, stopping=gd.Stopping(
        divergence_factor=1e300)).fit()  # fmt: skip
    assert result.status == Status.DIVERGED
    assert result.reason == expected.reason
    assert result.steps == expected.steps
    assert result.objective == expected.objective
    for column, values in expected.history.steps.items():
        assert np.array_equal(values, result.history.steps[column])


def test_divergence_at_the_start_is_said_plainly():
    model = gd.Linear(3).double()
    with torch.no_grad():
        model.weight.fill_(1e200)
    rule = gd.GD(model.parameters(), lr=0.1)
    result = gd.Trainer(model, gd.MSE(), rule, gd.FullBatch(48), DATA).fit()
    assert result.status == Status.DIVERGED
    assert result.reason == (
        "objective is infinite at the start, before any update: start closer to zero"
    )
    assert result.steps == 0


def test_an_objective_beyond_the_factor_has_diverged():
    stopping = gd.Stopping(divergence_factor=10.0)
    result = make(1.5, loader=gd.FullBatch(48), stopping=stopping, epochs=100).fit()
    assert result.status == Status.DIVERGED
    assert "times its start" in result.reason
    assert result.objective > 10 * result.history["objective"][0]


def test_no_improvement_converges_with_its_numbers_in_the_reason():
    result = make(0.2, loader=gd.FullBatch(48), epochs=5000, stopping=gd.Stopping()).fit()
    assert result.status == Status.CONVERGED
    assert result.reason == "objective improved by less than 1e-06 (relative) for 5 epochs"


def test_momentum_that_climbs_for_a_while_has_not_converged():
    model = gd.Rosenbrock()
    rule = gd.Adam(model.parameters(), lr=0.05)
    result = gd.Trainer(model, None, rule, gd.FullBatch(1), gd.Dataset.none(), epochs=5000).fit()
    assert (np.diff(result.history["objective"])[:20] > 0).sum() > 5  # more than patience
    np.testing.assert_allclose(model.x.detach(), [1.0, 1.0], atol=0.02)


def test_the_other_rules_end_runs():
    assert make(epochs=3).fit().reason == "reached the limit of 3 epochs"
    target = make(0.2, stopping=gd.Stopping(target=1.0), epochs=500).fit()
    assert target.status == Status.TARGET_REACHED
    assert target.objective <= 1.0
    limit = make(1e-9, stopping=gd.Stopping(tolerance=None, time_limit=0.2), epochs=10**7).fit()
    assert limit.status == Status.TIME_LIMIT
    assert 0.2 <= limit.seconds["train"] < 2
    flat = make(0.2, loader=gd.FullBatch(48), epochs=10**4, stopping=gd.Stopping(
        tolerance=None, gradient_tolerance=1e-6)).fit()  # fmt: skip
    assert flat.status == Status.CONVERGED
    assert flat.reason.startswith("gradient norm")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_where_it_can_go_on(number):
    class Press(gd.Observer):
        def on_block(self, run, kept):
            if run.step >= 30:
                os.kill(os.getpid(), number)

    trainer = make(observers=[Press()], epochs=50)
    before = signal.getsignal(number)
    result = trainer.fit()
    assert result.status == Status.INTERRUPTED
    assert signal.getsignal(number) is before
    resumed = make(epochs=50)
    resumed.run.restore(trainer.run.capture())
    whole = make(epochs=50)
    assert resumed.fit().objective == whole.fit().objective


def test_observers_see_four_events_in_order_and_are_closed_after_a_failure():
    seen: list[str] = []

    class Log(gd.Observer):
        def on_start(self, run):
            seen.append("start")

        def on_block(self, run, kept):
            seen.append("block")

        def on_epoch(self, run):
            seen.append("epoch")

        def on_end(self, run, result):
            seen.append("end")

        def close(self):
            seen.append("close")

    make(epochs=2, observers=[Log()]).fit()
    assert seen == ["start", "block", "epoch", "block", "epoch", "end", "close"]

    class Break(Log):
        def on_epoch(self, run):
            raise ConnectionError("broken")

    seen.clear()
    result = make(epochs=2, observers=[Break()]).fit()
    assert seen == ["start", "block", "close"]
    assert result.status == Status.FAILED
    assert result.reason == "observer Break raised ConnectionError in on_epoch: broken"
    assert result.epochs == 1
    assert math.isfinite(result.objective)


def test_history_starts_before_the_first_update_and_is_thinned():
    result = make(epochs=10, max_points=14).fit()
    assert list(result.history["epoch"]) == list(range(11))
    assert result.history["objective"][0] > result.history["objective"][-1]
    assert "validation/r2" in result.history.epochs
    assert list(result.history.steps["step"]) == list(range(1, 71, 5))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0)), r"shape \(2,\)"),
        (torch.nn.Linear(3, 3), r"shape \(2, 3\) for 2 rows; loss MSE needs \(2, 1\)"),
        (torch.nn.Linear(4, 1), r"model Linear on features of shape \(2, 3\) .*fails"),
    ],
)
def test_models_that_do_not_fit_the_data_are_refused(model, words):
    model = model.double()
    with pytest.raises(gd.UserError, match=words):
        gd.Trainer(model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(48), DATA)
    half = torch.nn.Linear(3, 1)
    with pytest.raises(gd.UserError, match=r"type torch\.float64"):
        gd.Trainer(half, gd.MSE(), gd.GD(half.parameters(), lr=0.1), gd.FullBatch(48), DATA)


def test_frozen_parameters_stay_and_parts_can_be_trained_alone():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)).double()
    model[0].weight.requires_grad_(False)
    before = [p.detach().clone() for p in model[0].parameters()]
    rule = gd.GD(model[1].parameters(), lr=1e-9)
    trainer = gd.Trainer(model, gd.MSE(), rule, gd.FullBatch(48), DATA, epochs=4)
    result = trainer.fit()
    after = list(model[0].parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    norms = result.history.steps["gradient_norm"]
    np.testing.assert_allclose(norms, norms[0], rtol=1e-3)  # of each step alone, never summed


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(gd.UserError, match="epochs=0"):
        make(epochs=0)
    with pytest.raises(gd.UserError, match="the loader is for 10 rows"):
        make(loader=gd.FullBatch(10))
    rule = gd.GD(gd.Linear(3).parameters(), lr=0.1)
    with pytest.raises(gd.UserError, match="not the model's"):
        gd.Trainer(gd.Linear(3), gd.MSE(), rule, gd.FullBatch(48), DATA)
    with pytest.raises(gd.UserError, match="engine=warp: there is no such engine"):
        make(engine="warp")


ENDS = {
    "diverged by a step": {"lr": 3.0, "stopping": gd.Stopping(divergence_factor=1e300)},
    "diverged by its objective": {"lr": 3.0},
    "converged": {"lr": 0.1, "epochs": 300, "stopping": gd.Stopping(tolerance=1e-4)},
    "gradient": {"lr": 0.2, "epochs": 300, "stopping": gd.Stopping(gradient_tolerance=1e-3)},
    "target": {"lr": 0.05, "epochs": 300, "stopping": gd.Stopping(target=0.5)},
    "limit": {"lr": 0.01, "epochs": 3},
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("engine", "loader"),
    [("linear", "per_sample"), ("linear", "mini_batch"), ("linear", "full_batch"),
     ("gram", "full_batch"),
     pytest.param("compiled", "mini_batch", marks=pytest.mark.slow),
     pytest.param("compiled", "full_batch", marks=pytest.mark.slow)],
)  # fmt: skip
def test_every_engine_ends_as_the_eager_loop_does(engine, loader, end):
    results = []
    for name in ("eager", engine):
        built = gd.LOADERS.build(loader, rows=48, batch_size=7)
        given = {"epochs": 2000, **ENDS[end], "loader": built, "engine": name}
        trainer = make(**given)
        results.append(trainer.fit())
        assert all(p.isfinite().all() for p in trainer.run.parameters().values())
        assert results[-1].engine == name
    eager, other = results
    assert (other.status, other.reason) == (eager.status, eager.reason)
    assert (other.epochs, other.steps) == (eager.epochs, eager.steps)
    assert other.objective == pytest.approx(eager.objective, rel=1e-9)
    for name, value in eager.module.state_dict().items():
        torch.testing.assert_close(other.module.state_dict()[name], value, rtol=1e-9, atol=1e-9)
