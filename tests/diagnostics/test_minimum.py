"""Minima of linear models, against scikit-learn and closed forms; separable classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, PoissonRegressor

import gdframe as gd
from gdframe.diagnostics.minimum import minimum_of
from gdframe.diagnostics.newton import Local, minimize
from gdframe.objective import Objective


def draw(seed, rows=90, features=3):
    return np.random.default_rng(seed).normal(size=(rows, features))


@pytest.mark.parametrize("seed", range(3))
def test_the_minimum_of_logistic_regression_is_that_of_scikit_learn(seed):
    x = draw(seed)
    classes = (x[:, 0] + 2 * draw(seed + 10)[:, 0] > 0).astype(int)
    data = gd.Dataset.from_arrays(x, classes, dtype=torch.float64)
    strength = 0.01
    minimum = minimum_of(
        Objective(gd.Linear(3), gd.BinaryCrossEntropy(), gd.L2(strength=strength)), data
    )
    model = LogisticRegression(C=1 / (2 * strength * len(x)), tol=1e-10).fit(x, classes)
    margins = (2 * classes - 1) * model.decision_function(x)
    expected = np.logaddexp(0, -margins).mean() + strength * (model.coef_**2).sum()
    assert minimum.value == pytest.approx(expected, rel=1e-7)
    share = classes.mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert minimum.baseline == pytest.approx(entropy, rel=1e-6)
    assert minimum.is_attained


def test_the_minimum_of_poisson_regression_is_that_of_scikit_learn():
    x = draw(4)
    counts = np.random.default_rng(5).poisson(np.exp(0.5 * x[:, 0])).astype(float)
    data = gd.Dataset.from_arrays(x, counts, dtype=torch.float64)
    model = PoissonRegressor(alpha=0.0, tol=1e-10, max_iter=1000).fit(x, counts)
    z = x @ model.coef_ + model.intercept_
    minimum = minimum_of(Objective(gd.Linear(3), gd.Poisson()), data)
    assert minimum.value == pytest.approx((np.exp(z) - counts * z).mean(), rel=1e-7)
    mean = counts.mean()
    assert minimum.baseline == pytest.approx(mean - mean * np.log(mean), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [None, 0.0, 0.01])
def test_separable_classes_have_no_finite_minimum_without_a_penalty(classes, strength):
    labels = np.arange(60) % classes
    x = 6.0 * np.eye(3)[labels] + 0.3 * draw(1, rows=60)
    loss = gd.BinaryCrossEntropy() if classes == 2 else gd.CrossEntropy()
    model = gd.Linear(3, 1 if classes == 2 else 3)
    penalty = None if strength is None else gd.L2(strength=strength)
    data = gd.Dataset.from_arrays(x, labels, dtype=torch.float64)
    minimum = minimum_of(Objective(model, loss, penalty), data)
    assert minimum.is_attained is bool(strength)
    assert (minimum.value == 0) is not bool(strength)


def test_the_mean_predictor_of_least_squares_leaves_the_variance():
    x = draw(6)
    y = 1e9 + x[:, 0]
    data = gd.Dataset.from_arrays(x, y, dtype=torch.float64)
    minimum = minimum_of(Objective(gd.Linear(3), gd.MSE()), data)
    assert minimum.baseline == pytest.approx(y.var(), rel=1e-6)


def test_unknown_minima_are_none():
    x = draw(7)
    data = gd.Dataset.from_arrays(x, x[:, 0], dtype=torch.float64)
    assert minimum_of(Objective(gd.MLP(3, 1, hidden=[2]), gd.MSE()), data) is None
    assert minimum_of(Objective(gd.Linear(3), gd.MAE()), data) is None
    assert minimum_of(Objective(gd.Linear(3), gd.MSE(), gd.L1(strength=0.1)), data) is None


@pytest.mark.parametrize("size", [1, 4, 9])
def test_a_newton_step_on_a_quadratic_ends_at_its_minimum(size):
    matrix = torch.from_numpy(draw(size, size + 3, size))
    curvature = matrix.T @ matrix
    start = torch.arange(1.0, size + 1, dtype=torch.float64)

    def value(x):
        return 0.5 * x @ curvature @ x

    step = Local(value, start).newton_step(50)
    assert step.decrease == pytest.approx(float(value(start)), rel=1e-4)
    point, lowest = minimize(value, start, accuracy=1e-12, most=500)
    assert lowest == pytest.approx(0, abs=1e-9)
    assert float(point.norm()) < 1e-4
