"""The loop: where runs end, what they measure, and which parts they refuse."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from thinned import thinned
from trainers import DATA, make

import gdframe as gd
from gdframe.stopping import Status


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
    solution = torch.cat([model.weight[0], model.bias]).detach().numpy()
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(solution, exact, rtol=1e-6)


def test_plain_gradient_descent_reaches_least_squares_too():
    trainer = make(0.2, loader=gd.FullBatch(48), epochs=2000)
    trainer.fit()
    x = np.column_stack([DATA.train.features.numpy(), np.ones(48)])
    exact, *_ = np.linalg.lstsq(x, DATA.train.targets.numpy()[:, 0], rcond=None)
    solution = torch.cat([p.flatten() for p in trainer.run.parameters().values()]).numpy()
    np.testing.assert_allclose(solution, exact, rtol=1e-6)


def test_no_improvement_converges_with_its_numbers_in_the_reason():
    result = make(0.2, loader=gd.FullBatch(48), epochs=5000, stopping=gd.Stopping()).fit()
    assert result.status == Status.CONVERGED
    assert result.reason == "objective improved by less than 1e-06 (relative) for 5 epochs"


def test_momentum_that_climbs_for_a_while_has_not_converged():
    model = gd.Rosenbrock()
    rule = gd.Adam(model.parameters(), lr=0.05)
    result = gd.Trainer(model, None, rule, gd.FullBatch(1), gd.Dataset.none(), epochs=500).fit()
    assert (np.diff(result.history["objective"])[:20] > 0).sum() > 5  # more than patience
    assert result.epochs > 100


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
        def on_block(self, run, steps):
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


@pytest.mark.parametrize("end", thinned(ENDS, 2))
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
        settings = {"epochs": 2000, **ENDS[end], "loader": built, "engine": name}
        if loader == "per_sample":  # noise keeps it from converging
            settings["epochs"] = min(settings["epochs"], 40)
        trainer = make(**settings)
        results.append(trainer.fit())
        assert all(p.isfinite().all() for p in trainer.run.parameters().values())
        assert results[-1].engine == name
    eager, other = results
    assert (other.status, other.reason) == (eager.status, eager.reason)
    assert (other.epochs, other.steps) == (eager.epochs, eager.steps)
    assert other.objective == pytest.approx(eager.objective, rel=1e-9)
    for name, value in eager.module.state_dict().items():
        torch.testing.assert_close(other.module.state_dict()[name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("engine", ["linear", "gram", "auto"])
def test_what_surrounds_a_fit_must_surround_the_trainer_too(engine):
    data = gd.Regression(rows=60, features=3, validation=0.2).load()

    def trainer(engine):
        model = gd.Linear(3)
        optimizer = gd.GD(model.parameters(), lr=0.05)
        parts = model, gd.MSE(), optimizer, gd.FullBatch(data.rows), data
        return gd.Trainer(*parts, engine=engine, epochs=3)

    built = trainer(engine)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(gd.UserError, match="build the trainer inside it"),
    ):
        built.fit()
    with torch.no_grad(), pytest.raises(gd.UserError, match="the mode of gradients"):
        built.fit()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = trainer("auto").fit()
        plain = trainer("eager").fit()
    assert inside.objective == plain.objective
    assert built.fit().objective != plain.objective


@pytest.mark.parametrize("engine", ["eager", "linear", "gram"])
def test_a_factor_that_is_set_on_a_constant_schedule_counts(engine):
    data = gd.Regression(rows=60, features=3, validation=0.2).load()
    ends = []
    for lr, factor in ((0.05, 0.5), (0.025, 1.0)):
        model, schedule = gd.Linear(3), gd.Constant()
        if factor != 1:
            schedule.factor = lambda epochs, clock: 0.5 + 0 * epochs
        optimizer = gd.GD(model.parameters(), lr=lr)
        parts = model, gd.MSE(), optimizer, gd.FullBatch(data.rows), data
        ends.append(gd.Trainer(*parts, schedule=schedule, engine=engine, epochs=5).fit().objective)
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)
