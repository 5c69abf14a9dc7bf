"""Stopping rules that fail end their run by name; what users give is not dropped."""

from __future__ import annotations

import pytest
import torch

import gdframe as gd
from gdframe.stopping import Status

DATA = gd.Regression(rows=40, features=3, noise=0.3).load(dtype=torch.float64)


def fit(*rules, epochs=5, engine="eager", **more):
    model = gd.Linear(3).double()
    return gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.FullBatch(DATA.rows), DATA,
        engine=engine, epochs=epochs, stopping=gd.Stopping(tolerance=None, rules=rules), **more,
    ).fit()  # fmt: skip


def raises(memory, end):
    raise KeyError("best")


WRONG = {
    "raised KeyError in judge": raises,
    "returned a str": lambda memory, end: "done",
    "its follow never returned True": lambda memory, end: gd.Verdict(
        Status.CONVERGED, "done", restores_best=True
    ),
    "status='great': expected one of converged": lambda memory, end: gd.Verdict("great", "done"),
}


@pytest.mark.parametrize("engine", ["eager", "linear"])
@pytest.mark.parametrize("message", WRONG)
def test_a_rule_that_fails_fails_its_run(message, engine):
    class Broken(gd.StoppingRule):
        def judge(self, memory, end):
            return WRONG[message](memory, end)

    result = fit(Broken(), engine=engine)
    assert result.status == Status.FAILED
    assert "stopping rule Broken" in result.reason
    assert message in result.reason


@pytest.mark.parametrize("event", ["follow", "judge_time"])
def test_a_rule_that_raises_elsewhere_fails_its_run(event):
    def broken(self, *arguments):
        raise ZeroDivisionError("no")

    kind = type("Broken", (gd.StoppingRule,), {event: broken, "judge": lambda *_: None})
    result = fit(kind())
    assert result.status == Status.FAILED
    assert f"stopping rule Broken raised ZeroDivisionError in {event}: no" in result.reason


def test_a_rule_keeps_its_advice():
    class Advises(gd.StoppingRule):
        def judge(self, memory, end):
            if end.epoch < 3:
                return None
            return gd.Verdict(Status.DIVERGED, "too far", "use fewer features: two")

    result = fit(Advises(), diagnosis=gd.Diagnostics())
    assert result.reason == "too far; use fewer features: two"


def test_a_status_may_be_given_as_text():
    assert gd.Verdict("converged", "done").status is Status.CONVERGED


@pytest.mark.parametrize(
    ("defaults", "rule", "name", "value"),
    [
        ({"time_limit": 0.05}, gd.TimeLimit, "seconds", 0.05),
        ({"target": 5000.0}, gd.ObjectiveTarget, "target", 5000.0),
        ({"patience": 9}, gd.Improvement, "patience", 9),
        ({"divergence_factor": 3.0}, gd.Divergence, "factor", 3.0),
        ({"gradient_tolerance": 0.1}, gd.GradientNorm, "tolerance", 0.1),
    ],
)
def test_a_named_rule_drops_no_number_that_was_given(defaults, rule, name, value):
    stopping = gd.Stopping(**defaults, rules=[rule()])
    merged = next(r for r in stopping.rules.values() if type(r) is rule)
    assert getattr(merged, name) == value
    named = rule(**{name: value + 1})
    stopping = gd.Stopping(**defaults, rules=[named])
    merged = next(r for r in stopping.rules.values() if type(r) is rule)
    assert getattr(merged, name) == value + 1


def test_limits_hold_beside_named_rules_on_the_command_line(tmp_path):
    result = gd.train(
        "stopping=objective", "stopping.target=5000", "variant=batch", "epochs=500",
        folder=tmp_path / "run",
    )  # fmt: skip
    assert result.status == Status.TARGET_REACHED
