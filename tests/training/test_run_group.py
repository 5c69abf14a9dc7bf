"""Runs trained together: each ends as it would alone, whatever happens to its neighbours."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.registry import ENGINES
from gdframe.stopping import Status
from gdframe.training.outcome import failed_result
from gdframe.training.run import Run
from gdframe.training.run_group import RunGroup
from gdframe.training.run_spec import RunSpec
from gdframe.training.trainer import train

DATA = gd.Regression(rows=60, features=3, noise=0.5).load(dtype=torch.float64)
LOADERS = {
    "linear": gd.MiniBatch(DATA.rows, 7),
    "gram": gd.FullBatch(DATA.rows),
    "eager": gd.MiniBatch(DATA.rows, 7),
    "compiled": gd.MiniBatch(DATA.rows, 7),
}
SETTINGS = [
    {"lr": 0.05, "seed": 0},
    {"lr": 0.05, "seed": 1, "strength": 0.1},
    {"lr": 1e8, "seed": 0},  # diverges within an epoch
    {"lr": 0.9, "seed": 2},  # diverges, or not, later
    {"lr": 0.1, "seed": 0, "stopping": {"tolerance": 0.5, "patience": 1}},
    {"lr": 0.01, "seed": 3, "stopping": {"target": 1.0}},
    {"lr": 1e-3, "seed": 1, "schedule": "cosine"},
]


def parts(lr, seed, strength=0.0, stopping=None, schedule="constant", model=None):
    if model is None:
        model = gd.Linear(DATA.features)
        gd.initialize(model, gd.Normal(), seed=seed)
    model = model.double()
    rule = gd.Momentum(model.parameters(), lr=lr)
    components = (model, gd.MSE(), rule)
    rest = {
        "penalty": gd.L2(strength=strength), "schedule": gd.SCHEDULES.build(schedule), "epochs": 12,
        "stopping": gd.Stopping(**(stopping or {"tolerance": None})), "seed": seed,
    }  # fmt: skip
    return components, rest


def alone(engine, settings):
    components, rest = parts(**settings)
    return gd.Trainer(*components, LOADERS[engine], DATA, **rest, engine=engine).fit()


def together(engine, many, *, stop=lambda: None, failed=None, observers=()):
    runs = []
    for settings in many:
        components, rest = parts(**settings)
        runs.append(Run(RunSpec(*components, LOADERS[engine], DATA, **rest), observers=observers))
    problems = [run.spec.problem for run in runs]
    built = ENGINES.build(engine, runs=problems, data=DATA, loader=LOADERS[engine], epochs=12)
    results = {}
    train(RunGroup(runs, built), stop, ended=lambda r, e: results.update({r: e}), failed=failed)
    return runs, results


def assert_same(actual, expected):
    assert (actual.status, actual.epochs, actual.steps) == (
        expected.status, expected.epochs, expected.steps,
    )  # fmt: skip
    assert actual.reason.split(";")[0] == expected.reason.split(";")[0]
    assert actual.objective == pytest.approx(expected.objective, rel=1e-9)
    assert actual.history["objective"] == pytest.approx(expected.history["objective"], rel=1e-10)
    for value, other in zip(actual.module.parameters(), expected.module.parameters()):
        torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "engine", ["eager", "linear", "gram", pytest.param("compiled", marks=pytest.mark.slow)]
)
def test_a_run_ends_as_it_would_alone(engine):
    few = SETTINGS[1:4] if engine == "compiled" else SETTINGS
    runs, results = together(engine, few)
    assert len(results) == len(few)
    for run, settings in zip(runs, few):
        assert_same(results[run], alone("eager" if engine == "compiled" else engine, settings))
    statuses = {results[m].status for m in runs}
    assert Status.DIVERGED in statuses
    assert len(statuses) > 1
    spent = [results[m].seconds["train"] for m in runs]
    assert all(0 < seconds < 60 for seconds in spent)


class Fragile(nn.Module):
    """Raises in training once its weight has moved far enough."""

    def __init__(self, limit):
        super().__init__()
        self.layer = nn.Linear(DATA.features, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.limit = limit

    def forward(self, x):
        if self.layer.weight.abs().max() > self.limit:
            raise RuntimeError("too far")
        return self.layer(x)


def test_a_run_that_raises_fails_alone():
    few = [
        {"lr": 0.02, "seed": seed, "model": Fragile(limit)}
        for seed, limit in enumerate([math.inf, 0.05, math.inf])
    ]
    errors = {}
    runs, results = together("eager", few, failed=lambda m, e: errors.update({m: e}))
    assert set(results) == {runs[0], runs[2]}
    assert str(errors[runs[1]]) == "too far"
    assert failed_result(runs[1], errors[runs[1]]).status == Status.FAILED
    for at in (0, 2):
        again = {**few[at], "model": Fragile(math.inf)}
        assert_same(results[runs[at]], alone("eager", again))


def test_without_a_handler_the_error_is_raised():
    few = [{"lr": 0.02, "seed": 0, "model": Fragile(limit)} for limit in (math.inf, 0.05)]
    with pytest.raises(RuntimeError, match="too far"):
        together("eager", few)


def test_an_interrupt_ends_all():
    class Press(gd.Observer):
        asked = None

        def on_epoch(self, run):
            Press.asked = "Ctrl-C"

    _, results = together("linear", SETTINGS[:2], stop=lambda: Press.asked, observers=[Press()])
    assert {result.status for result in results.values()} == {Status.INTERRUPTED}
    assert {result.epochs for result in results.values()} == {1}


def test_ended_runs_leave_the_engine():
    sizes = []

    class Watch(gd.Observer):
        def on_epoch(self, run):
            sizes.append(len(run.engine.runs))

    target = float(alone("eager", SETTINGS[1]).history["objective"][2])
    short = {**SETTINGS[1], "stopping": {"target": target}}
    together("eager", [SETTINGS[0], short], observers=[Watch()])
    assert sizes[0] == 2
    assert sizes[-1] == 1


def test_a_verdict_holds_when_a_later_run_raises_in_the_same_block():
    class Raises(gd.Observer):
        def on_epoch(self, run):
            if run.history.last["epoch"] >= 3:
                raise gd.UserError("out of luck")

    settings = [{"lr": 0.01, "seed": seed} for seed in range(3)]
    runs = []
    for number, values in enumerate(settings):
        components, rest = parts(**values)
        if number == 0:
            rest["stopping"] = gd.Stopping(tolerance=None, rules=[AtThird()])
        watchers = [Raises()] if number == 1 else []
        runs.append(Run(RunSpec(*components, LOADERS["eager"], DATA, **rest), observers=watchers))
    results, failures = {}, {}
    problems = [run.spec.problem for run in runs]
    engine = ENGINES.build("eager", runs=problems, data=DATA, loader=LOADERS["eager"], epochs=12)
    train(RunGroup(runs, engine), lambda: None, ended=results.__setitem__,
          failed=failures.__setitem__)  # fmt: skip
    assert list(failures) == [runs[1]]
    assert results[runs[0]].epochs == 1
    assert results[runs[0]].gradient_evaluations == 3 * LOADERS["eager"].steps_per_epoch
    assert results[runs[2]].epochs == 12


class AtThird(gd.StoppingRule):
    """Ends a run after three epochs, and returns to the first."""

    def follow(self, memory, end):
        return end.epoch == 1

    def judge(self, memory, end):
        if end.epoch < 3:
            return None
        return gd.Verdict(Status.CONVERGED, "the third", restores_best=True)
