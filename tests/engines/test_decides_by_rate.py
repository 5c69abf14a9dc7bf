"""Rules that decide by the learning rate in ways that raise nothing: equal to eager, or refused."""

from __future__ import annotations

import pytest
import torch

import gdframe as gd

DATA = gd.Regression(rows=40, features=3, noise=0.3).load(dtype=torch.float64)
BOOST = {0.01: 3.0}


def by_type(lr):
    return 0.5 if isinstance(lr, float) and lr < 0.02 else 1.0


def by_exact_type(lr):
    return 0.5 if type(lr) is float and lr < 0.02 else 1.0


def by_lookup(lr):
    return BOOST.get(lr, 1.0)


def by_membership(lr):
    return 0.5 if lr in {0.01} else 1.0


def by_pattern(lr):
    match lr:
        case float(x) if x < 0.02:
            return 0.5
    return 1.0


def rule_of(decide):
    class Decides(gd.GD):
        @staticmethod
        def update(params, grads, state, hyper):
            size = hyper["lr"] * decide(hyper["lr"])
            return [p - size * g for p, g in zip(params, grads)], state

    return Decides


class Drop(gd.Schedule):
    def factor(self, epochs, clock):
        return 1.0 - 0.9 * (epochs >= 3)


def problem(rule, lr, schedule):
    model = gd.Linear(3).double()
    return gd.Problem(gd.Objective(model, gd.MSE()), rule(model.parameters(), lr=lr), schedule, 0)


def ends(engine, rule, rates, schedule):
    runs = [problem(rule, lr, schedule) for lr in rates]
    loader = gd.FullBatch(DATA.rows)
    built = gd.build_engine(engine, runs, DATA, loader, epochs=6)
    for epoch in range(6):
        built.advance(epoch, epoch + 1)
    return [built.parameters(run)["weight"].clone() for run in range(len(runs))]


@pytest.mark.parametrize(
    ("rates", "schedule"),
    [([0.1], Drop()), ([0.1, 0.01, 0.05, 0.06, 0.07], gd.Constant())],
    ids=["schedule", "group"],
)
@pytest.mark.parametrize("decide", [by_type, by_exact_type, by_lookup, by_membership, by_pattern])
@pytest.mark.parametrize(
    "engine", ["linear", "gram", "auto", pytest.param("compiled", marks=pytest.mark.slow)]
)
def test_a_decision_by_the_rate_is_that_of_eager_or_refused(engine, decide, rates, schedule):
    rule = rule_of(decide)
    expected = ends("eager", rule, rates, schedule)
    try:
        actual = ends(engine, rule, rates, schedule)
    except gd.CannotExecute:
        assert engine != "auto"
        return
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_a_rule_without_decisions_is_executed(engine):
    rule = rule_of(lambda lr: 1.0)
    for rates, schedule in (([0.1, 0.01], gd.Constant()), ([0.1], Drop())):
        expected = ends("eager", rule, rates, schedule)
        for a, b in zip(ends(engine, rule, rates, schedule), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)
