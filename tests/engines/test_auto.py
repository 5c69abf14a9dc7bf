"""The choice of an engine, its reason, and the refusals of each engine."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.engines import inductor
from gdframe.engines.probe import why_not_functional

DATA = gd.Regression(rows=30, features=3, validation=0.0).load()


def run_of(model=None, optimizer=None, loss=None, penalty=None) -> gd.Problem:
    model = model or gd.Linear(3)
    optimizer = optimizer or gd.GD(model.parameters(), lr=0.01)
    return gd.Problem(gd.Objective(model, loss or gd.MSE(), penalty), optimizer, gd.Constant(), 0)


def chosen(run: gd.Problem, loader: gd.Loader, epochs: int) -> gd.Engine:
    return gd.choose_engine([run], DATA, loader, epochs=epochs)


def test_full_batch_least_squares_runs_on_gram():
    engine = chosen(run_of(), gd.FullBatch(30), 10_000)
    assert isinstance(engine, gd.Gram)
    assert re.search(r"least squares, from XᵀX; eager would take about [\d.]+ times", engine.reason)


def test_long_linear_runs_use_the_linear_engine():
    engine = chosen(run_of(), gd.PerSample(30), 1000)
    assert isinstance(engine, gd.LinearLoops)
    assert engine.reason.startswith("per-sample updates of a linear model; eager would take about")


def test_short_runs_use_eager_with_a_reason():
    engine = chosen(run_of(), gd.PerSample(30), 1)
    assert isinstance(engine, gd.Eager)
    assert "linear would spend 0.3 s on compiling first" in engine.reason


def test_a_refusal_by_gram_while_it_is_built_leads_to_the_next_engine():
    x, u = torch.randn(2, 30, 1, dtype=torch.float64, generator=torch.manual_seed(0)).numpy()
    features = np.hstack([x, x + 1e-6 * u])  # nearly collinear, and the target is the difference
    data = gd.Dataset.from_arrays(features, u[:, 0], dtype=torch.float64)
    model = gd.Linear(2).double()
    run = run_of(model, gd.GD(model.parameters(), lr=0.1))
    arguments = {"runs": [run], "data": data, "loader": gd.FullBatch(30), "epochs": 5000}
    with pytest.raises(gd.CannotExecute, match=r"magnified .* use data.standardize=true"):
        gd.ENGINES.build("gram", **arguments)
    assert not isinstance(gd.choose_engine(**arguments), gd.Gram)


class Doubled(gd.Linear):
    def forward(self, features):
        return 2 * super().forward(features)


class Steeper(gd.MSE):
    def __call__(self, outputs, targets):
        return 3 * super().__call__(outputs, targets)


class Stubborn(gd.GD):
    def step(self, closure=None):
        return None


def dropout():
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))


def batch_norm():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


@pytest.mark.parametrize(("engine", "run", "loader", "reason"), [
    ("linear", run_of(gd.MLP(3)), gd.PerSample(30), "not linear in its parameters"),
    ("linear", run_of(Doubled(3)), gd.PerSample(30), "not linear in its parameters"),
    ("linear", run_of(loss=Steeper()), gd.PerSample(30), "has no kernel"),
    ("gram", run_of(loss=Steeper()), gd.FullBatch(30), "not the mean squared error"),
    ("gram", run_of(), gd.PerSample(30), "needs all rows in each step"),
    ("gram", run_of(penalty=gd.L1()), gd.FullBatch(30), "is not quadratic"),
    ("compiled", run_of(dropout()), gd.PerSample(30), "draws random numbers"),
    ("compiled", run_of(batch_norm()), gd.MiniBatch(30, 5), "changes its buffer '1.running_mean'"),
])  # fmt: skip
def test_unsupported_runs_are_refused_with_a_reason(engine, run, loader, reason):
    arguments = {"runs": [run], "data": DATA, "loader": loader, "epochs": 1}
    with pytest.raises(gd.CannotExecute, match=f"engine={engine} cannot execute this: .*{reason}"):
        gd.ENGINES.build(engine, **arguments)
    assert gd.choose_engine(**arguments)  # another engine executes it


@pytest.mark.parametrize("engine", ["linear", "gram", "compiled"])
def test_optimizers_without_a_pure_update_run_on_eager(engine):
    loader = gd.FullBatch(30)
    model = gd.Linear(3)
    for rule, reason in (
        (torch.optim.SGD(model.parameters(), lr=0.1), "(SGD) is not a gdframe.Optimizer"),
        (Stubborn(model.parameters(), lr=0.1), "more in a step than its pure update"),
        (gd.GD([{"params": [model.weight]}, {"params": [model.bias]}], lr=0.1), "several"),
        (gd.GD([model.weight], lr=0.1), "does not have the parameters that the model trains"),
    ):
        assert reason in gd.ENGINES.get(engine).why_not([run_of(model, rule)], DATA, loader)


def test_a_rule_across_coordinates_runs_on_the_general_engines():
    class Normalized(gd.GD):
        @staticmethod
        def update(params, grads, state, hyper):
            return [p - hyper["lr"] * g / g.norm() for p, g in zip(params, grads)], state

    model = gd.Linear(3)
    run = run_of(model, Normalized(model.parameters(), lr=0.1))
    loader = gd.FullBatch(30)
    assert "each coordinate by itself: it uses norm" in gd.LinearLoops.why_not([run], DATA, loader)
    assert gd.Gram.why_not([run], DATA, loader) is None


def test_without_a_compiler_compiled_is_refused(monkeypatch):
    monkeypatch.setattr(inductor.shutil, "which", lambda name: None)
    reason = gd.Compiled.why_not([run_of()], DATA, gd.PerSample(30))
    assert "it needs a C++ compiler" in reason


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (lambda x: x.sum().item() > 0, "a number of Python from a tensor"),
        (lambda x: len(torch.nonzero(x)) > 0, "a shape that depends on values"),
    ],
)
def test_a_model_that_does_not_compile_is_refused_with_the_reason(condition, reason):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            return self.layer(x) if condition(x) else -self.layer(x)

    run = run_of(Branching())
    with pytest.raises(gd.CannotExecute, match=reason):
        gd.Compiled([run], DATA, gd.PerSample(30), epochs=1)


def test_trial_calls_leave_a_model_unchanged():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert why_not_functional(run_of(model), DATA, gd.FullBatch(DATA.rows))
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def frozen():
    model = gd.Linear(3)
    model.bias.requires_grad_(False)
    return model


def with_rule(rule, **hyper):
    model = gd.Linear(3)
    return run_of(model, rule(model.parameters(), lr=0.01, **hyper))


@pytest.mark.parametrize(("a", "b", "what"), [
    (run_of(), run_of(penalty=gd.L2()), "penalty"),
    (run_of(penalty=gd.L2()), run_of(penalty=gd.L2(biases=True)), "penalty"),
    (run_of(), with_rule(gd.Momentum), "optimizer"),
    (run_of(), run_of(gd.Linear(3, bias=False)), "model"),
    (run_of(), run_of(frozen()), "model"),
    (run_of(gd.Polynomial(3, degree=2)),
     run_of(gd.Polynomial(3, degree=3, interactions=False)), "model"),  # nine terms each
    (run_of(), run_of(loss=gd.MAE()), "loss"),
    (run_of(), run_of(gd.MLP(3), loss=gd.MAE()), "model"),
])  # fmt: skip
def test_runs_of_different_structure_do_not_share_an_engine(a, b, what):
    for engine, loader in ((gd.LinearLoops, gd.PerSample(30)), (gd.Compiled, gd.PerSample(30)),
                           (gd.Gram, gd.FullBatch(30))):  # fmt: skip
        reason = engine.why_not([a, b], DATA, loader)
        assert reason is not None
        if engine is not gd.Gram:  # gram may refuse one of the runs by itself
            assert reason.startswith(f"the runs differ in their {what}")
    assert isinstance(gd.choose_engine([a, b], DATA, gd.FullBatch(30), epochs=9), gd.Eager)


def test_runs_that_differ_in_values_share_an_engine():
    runs = [
        with_rule(gd.Momentum, beta=beta, clip_norm=limit)
        for beta, limit in ((0.9, None), (0.5, 1))
    ]
    for engine in (gd.LinearLoops, gd.Compiled, gd.Gram):
        assert engine.why_not(runs, DATA, gd.FullBatch(30)) is None
    widths = [run_of(loss=gd.Huber(delta=delta)) for delta in (1.0, 2.0)]
    assert gd.LinearLoops.why_not(widths, DATA, gd.PerSample(30)) is None
    assert "differ in their loss" in gd.Compiled.why_not(widths, DATA, gd.PerSample(30))


def test_a_users_engine_is_considered_too():
    registry = gd.ENGINES

    class Swift(gd.Eager):
        """Claims to be fast."""

        @classmethod
        def estimate(cls, runs, data, loader):
            return gd.Estimate(0.0, 1e-9)

    registry.register("swift")(Swift)
    try:
        assert isinstance(chosen(run_of(), gd.PerSample(30), 1), Swift)
    finally:
        registry._entries.pop("swift")


def test_the_command_line_prints_the_chosen_engine(gdframe):
    done = gdframe("variant=batch", "epochs=200", "logging.tensorboard=false")
    line = done.out.splitlines()[0]
    assert re.fullmatch(r"engine: gram \(full-batch least squares, from XᵀX; eager .*\)", line)
    assert done.result["engine"] == "gram"
    assert done.result["engine_reason"] == line.partition("(")[2].removesuffix(")")
    named = gdframe("engine=eager", "epochs=1", "hydra.run.dir=named")
    assert not named.out.startswith("engine:")
    result = json.loads((named.folder / "named" / "result.json").read_text())
    assert (result["engine"], result["engine_reason"]) == ("eager", "")


def test_the_command_line_refuses_an_engine_that_cannot_execute_the_run(gdframe):
    done = gdframe("engine=gram", "variant=sgd")
    assert done.code == 2
    reason = "it needs all rows in each step: variant=batch"
    assert done.err == f"gdframe: engine=gram cannot execute this: {reason}\n"
    assert not done.runs
