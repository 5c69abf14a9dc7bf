"""Rules that compute with their learning rate what Python refuses at some rates: zero, above all.

In the plain loop a learning rate is a Python number; in other engines it may be a tensor.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

import gdframe as gd

from .against_eager import DATA, against_eager, linear, loader_of, runs_of

REFUSED = (
    "s / lr", "s / (lr - 0.005)", "1 / lr", "s // lr", "s % lr", "lr ** -1", "lr ** -0.5",
    "(lr - 0.005) ** 0.5", "(lr - 0.005) ** -2", "lr ** -s", "(lr - 0.005) ** s",
    "(-s) ** lr", "(1 / (2 * lr)) ** 2", "0.0 ** (lr - 0.005)",
)  # fmt: skip
DEFINED = (
    "lr ** 0.5",
    "lr ** 1.5",
    "lr ** 2",
    "(lr - 0.005) ** 2",
    "lr / 3",
    "0.9 ** lr",
    "lr * s - lr",
)


class EveryThird(gd.Schedule):
    """Freezes every third epoch."""

    def factor(self, epochs, clock):
        return np.where(np.floor(epochs) % 3 == 2, 0.0, 1.0)


def rule_that_uses(expression):
    number = eval(f"lambda lr, s: {expression}")

    class Rule(gd.Optimizer):
        def __init__(self, params, lr, s=0.1):
            super().__init__(params, {"lr": lr, "s": s})

        @staticmethod
        def update(params, grads, state, hyper):
            factor = number(hyper["lr"], hyper["s"])
            pairs = zip(params, grads, strict=True)
            return [p - hyper["lr"] * torch.tanh(factor * g) for p, g in pairs], state

    return Rule


def runs_with(expression, count, schedule, lr=0.01):
    runs = runs_of(rule_that_uses(expression), linear, count, torch.float64)
    for run in runs:
        group = run.optimizer.param_groups[0]
        group["lr"] = lr
    return [gd.Problem(run.objective, run.optimizer, schedule, 0) for run in runs]


CELLS = list(product(REFUSED, ["gram", "linear", "compiled"], [1, 3]))
SLOW = [cell for cell in CELLS if cell[1] == "compiled" and cell not in CELLS[4:6]]


@pytest.mark.parametrize(("expression", "engine", "runs"), [
    pytest.param(*cell, marks=pytest.mark.slow if cell in SLOW else ()) for cell in CELLS
])  # fmt: skip
def test_what_python_may_refuse_is_executed_by_the_plain_loop(expression, engine, runs):
    loader, runs = loader_of("full_batch"), runs_with(expression, runs, EveryThird())
    with pytest.raises(gd.CannotExecute) as refusal:
        gd.build_engine(engine, runs, DATA, loader, epochs=4)
    assert refusal.value.reason
    assert isinstance(gd.build_engine("auto", runs, DATA, loader, epochs=4), gd.Eager)


@pytest.mark.parametrize(("expression", "engine"), list(product(DEFINED, ["linear", "gram"])))
def test_what_is_a_number_at_any_rate_runs_on_every_engine(expression, engine):
    for count, schedule in ((1, EveryThird()), (3, EveryThird()), (3, gd.Constant())):
        outcome = against_eager(
            engine,
            lambda n=count, s=schedule: runs_with(expression, n, s),
            loader_of("full_batch"),
            {},
        )
        assert outcome == (None, "")


@pytest.mark.parametrize("expression", ["s / lr", "lr ** -0.5", "1 / lr"])
def test_a_constant_rate_is_tried_as_it_is(expression):
    outcome = against_eager(
        "gram", lambda: runs_with(expression, 3, gd.Constant()), loader_of("full_batch"), {}
    )
    assert outcome == (None, "")
