"""Stability limits of random batches, against the exact map of second moments."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.linear_rule import LinearRule

ROWS = 7

RULES = {
    "gd": (gd.GD, {}, lambda lr, h: np.eye(len(h)) - lr * h),
    "momentum": (
        gd.Momentum,
        {"beta": 0.9},
        lambda lr, h: np.block(
            [[np.eye(len(h)) - lr * h, -lr * 0.9 * np.eye(len(h))], [h, 0.9 * np.eye(len(h))]]
        ),
    ),
    "nesterov": (
        gd.Nesterov,
        {"beta": 0.5},
        lambda lr, h: np.block(
            [[np.eye(len(h)) - lr * 1.5 * h, -lr * 0.25 * np.eye(len(h))],
             [h, 0.5 * np.eye(len(h))]]
        ),
    ),
}  # fmt: skip
"""The rule, its settings, and its matrix on (parameter, velocity) by learning rate and Hessian."""


def problem(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2)) * [1.0, 3.0]
    data = gd.Dataset.from_arrays(x, rng.normal(size=ROWS), dtype=torch.float64)
    model = gd.Linear(2).double()
    kind, settings, matrix = RULES[name]
    rule = kind(model.parameters(), lr=0.01, **settings)
    objective = gd.Objective(model, gd.MSE(), gd.L2(strength=0.05))
    run = gd.Problem(objective, rule, gd.Constant(), 0)
    design = np.column_stack([x, np.ones(ROWS)])
    ridge = 0.1 * np.diag([1.0, 1.0, 0.0])
    return data, run, lambda rows: 2 / len(rows) * design[rows].T @ design[rows] + ridge, matrix


def step_of_moments(hessian, matrix, lr, size):
    """Return the mean, over all batches of a size, of the map of second moments."""
    maps = [matrix(lr, hessian(list(rows))) for rows in combinations(range(ROWS), size)]
    return np.mean([np.kron(m, m) for m in maps], axis=0)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6])  # last batches of 1 row
@pytest.mark.parametrize("name", RULES)
def test_errors_stay_bounded_in_mean_square_only_up_to_the_limit(name, batch_size):
    data, run, hessian, matrix = problem(name)
    limit = least_squares(run.objective, data).noisy_limit(LinearRule.of(run), batch_size)

    def radius(lr):
        epoch = np.eye(1)
        for first in range(0, ROWS, batch_size):
            size = min(batch_size, ROWS - first)
            step = step_of_moments(hessian, matrix, lr, size)
            epoch = step @ epoch if first else step
        return np.abs(np.linalg.eigvals(epoch)).max()

    assert radius(0.997 * limit) < 1 < radius(1.01 * limit)


class Sums(gd.Optimizer):
    """Gradient descent that also adds up its gradients."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @staticmethod
    def init_state(params):
        return {"sum": [torch.zeros_like(p) for p in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        sums = [s + g for s, g in zip(state["sum"], grads, strict=True)]
        return [p - hyper["lr"] * g for p, g in zip(params, grads, strict=True)], {"sum": sums}


def test_the_limit_of_a_rule_whose_state_does_not_fade_is_unknown():
    data = gd.Regression(rows=20, features=3, validation=0.0).load(dtype=torch.float64)
    model = gd.Linear(3).double()
    rule = Sums(model.parameters(), lr=0.01)
    run = gd.Problem(gd.Objective(model, gd.MSE()), rule, gd.Constant(), 0)
    linear = LinearRule.of(run)
    assert linear.product > 0
    assert least_squares(run.objective, data).noisy_limit(linear, 4) is None
    loader = gd.MiniBatch(data.rows, 4)
    diagnosis = gd.Diagnostics()
    result = gd.Trainer(model, gd.MSE(), rule, loader, data, epochs=2, diagnosis=diagnosis).fit()
    assert result.epochs == 2
    assert diagnosis.facts()["limit_of_full_batches"]


def test_a_part_of_many_rows_gives_nearly_the_same_limit(monkeypatch):
    data = gd.Regression(rows=20_000, features=5, validation=0.0).load()
    model = gd.Linear(5)
    run = gd.Problem(gd.Objective(model, gd.MSE()), gd.GD(model.parameters(), lr=0.01),
                     gd.Constant(), 0)  # fmt: skip
    limits = []
    for products in (1e9, 1e5, 1e3):
        monkeypatch.setattr("gdframe.diagnostics.least_squares.PRODUCTS", products)
        quadratic = least_squares(run.objective, data)
        vars(quadratic).pop("_limits", None)
        limits.append(quadratic.noisy_limit(LinearRule.of(run), 1))
    assert limits[1] == pytest.approx(limits[0], rel=0.05)
    assert limits[2] is None
