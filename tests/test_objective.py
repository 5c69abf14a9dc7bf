"""The textbook's gradients, metrics, chunks and penalties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gdframe as gd
from gdframe import objective as objective_module

SHAPES = {"rows": st.integers(1, 30), "features": st.integers(1, 8), "seed": st.integers(0, 10_000)}


def draw(rows: int, features: int, seed: int, outputs: int = 1):
    random = np.random.default_rng(seed)
    x = torch.from_numpy(random.normal(size=(rows, features)))
    w = torch.from_numpy(random.normal(size=(outputs, features)))
    b = torch.from_numpy(random.normal(size=outputs))
    model = gd.Linear(features, outputs).double()
    model.load_state_dict({"weight": w, "bias": b})
    return random, x, w, b, model


def gradients(model, loss, x, targets):
    loss(model(x), targets).backward()
    return model.weight.grad, model.bias.grad


@given(**SHAPES)
def test_mse_gradient_is_the_textbooks(rows, features, seed):
    random, x, w, b, model = draw(rows, features, seed)
    y = torch.from_numpy(random.normal(size=(rows, 1)))
    by_weight, by_bias = gradients(model, gd.MSE(), x, y)
    # dL/dw_j = (1/N) sum_i 2 (yhat_i - y_i) x_ij;  dL/db = (1/N) sum_i 2 (yhat_i - y_i)
    error = x @ w.T + b - y
    torch.testing.assert_close(by_weight, 2 * error.T @ x / rows, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_bias, 2 * error.mean(dim=0), rtol=1e-12, atol=1e-12)


@given(**SHAPES)
def test_logistic_gradient_is_the_analytic_one(rows, features, seed):
    random, x, w, b, model = draw(rows, features, seed)
    label = torch.from_numpy(random.integers(0, 2, size=rows))
    loss = gd.BinaryCrossEntropy()
    by_weight, by_bias = gradients(model, loss, x, loss.encode(label, torch.float64))
    error = torch.sigmoid(x @ w.T + b) - label[:, None]  # p - y
    torch.testing.assert_close(by_weight, error.T @ x / rows, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_bias, error.mean(dim=0), rtol=1e-12, atol=1e-12)


@given(classes=st.integers(2, 6), **SHAPES)
def test_softmax_gradient_is_the_analytic_one(rows, features, seed, classes):
    random, x, w, b, model = draw(rows, features, seed, classes)
    label = torch.from_numpy(random.integers(0, classes, size=rows))
    by_weight, by_bias = gradients(model, gd.CrossEntropy(), x, label)
    scores = x @ w.T + b
    error = scores.softmax(dim=1) - torch.nn.functional.one_hot(label, classes)
    torch.testing.assert_close(by_weight, error.T @ x / rows, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_bias, error.mean(dim=0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("penalty", "gradient"),
    [
        (gd.L2(strength=0.3), lambda w: 2 * 0.3 * w),
        (gd.L1(strength=0.3), lambda w: 0.3 * w.sign()),
        (gd.ElasticNet(strength=0.3, ratio=0.25), lambda w: 0.3 * (0.25 * w.sign() + 1.5 * w)),
        (gd.NoPenalty(), lambda w: 0 * w),
    ],
)
def test_penalties_act_on_weights_and_not_on_biases(penalty, gradient):
    _, x, w, _, model = draw(10, 3, 0)
    y = torch.zeros(10, 1, dtype=torch.float64)
    objective = gd.Objective(model, gd.MSE(), penalty)
    (objective.batch_loss(x, y) + objective.penalty_value()).backward()
    total, bias = model.weight.grad.clone(), model.bias.grad.clone()
    model.zero_grad()
    objective.batch_loss(x, y).backward()
    torch.testing.assert_close(total - model.weight.grad, gradient(w))
    assert torch.equal(bias, model.bias.grad)


def test_penalties_act_on_biases_when_asked():
    model = gd.Linear(2)
    assert len(gd.L2().select(model)) == 1
    assert len(gd.L2(biases=True).select(model)) == 2


@pytest.mark.parametrize("rows", [1, 7, 8, 20])
def test_evaluation_in_chunks_equals_evaluation_at_once(rows, monkeypatch):
    random, x, _, _, model = draw(rows, 3, 1)
    y = random.normal(size=(rows, 1)) + 1000
    data = gd.Dataset.from_arrays(x.numpy(), y, dtype=torch.float64)
    objective = gd.Objective(model, gd.MSE(), gd.L2(strength=0.1))
    whole = objective.evaluate(data.train, data, gradient=True)
    monkeypatch.setattr(objective_module, "CHUNK", 4)
    chunked = objective.evaluate(data.train, data, gradient=True)
    assert chunked.objective == pytest.approx(whole.objective, rel=1e-12)
    assert chunked.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-12)
    assert chunked.metrics == pytest.approx(whole.metrics, rel=1e-9, nan_ok=True)
    assert whole.objective - whole.loss == pytest.approx(
        0.1 * float((model.weight**2).sum().item())
    )


def test_metrics_equal_scikit_learn():
    from sklearn import metrics

    random, x, _, _, model = draw(40, 3, 2)
    y = random.normal(size=40)
    data = gd.Dataset.from_arrays(x.numpy(), y, dtype=torch.float64)
    values = gd.Objective(model, gd.MSE()).evaluate(data.train, data, gradient=False).metrics
    predicted = model(x).detach().numpy()[:, 0]
    assert values["r2"] == pytest.approx(metrics.r2_score(y, predicted))
    assert values["mae"] == pytest.approx(metrics.mean_absolute_error(y, predicted))
    assert values["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, predicted))


def test_r2_of_constant_targets_is_not_a_number():
    data = gd.Dataset.from_arrays([[1.0], [2.0]], [5.0, 5.0])
    evaluation = gd.Objective(gd.Linear(1), gd.MSE()).evaluate(data.train, data, gradient=False)
    assert math.isnan(evaluation.metrics["r2"])


@pytest.mark.parametrize("loss", [gd.BinaryCrossEntropy(), gd.Hinge(), gd.CrossEntropy()])
def test_accuracy_counts_right_labels(loss):
    x = np.array([[-2.0], [-1.0], [1.0], [3.0]])
    data = gd.Dataset.from_arrays(x, np.array(["no", "yes", "yes", "yes"]))
    model = gd.Linear(1, loss.outputs(data))
    with torch.no_grad():
        model.weight[-1] = 1.0
    objective = gd.Objective(model, loss)
    evaluation = objective.evaluate(objective.encode(data.train), data, gradient=False)
    assert evaluation.metrics == {"accuracy": 0.75}


def test_a_function_takes_no_loss():
    with pytest.raises(ValueError, match="Function"):
        gd.Objective(gd.Rosenbrock(), gd.MSE())
    with pytest.raises(ValueError, match="needs one"):
        gd.Objective(gd.Linear(1))


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_variation_of_targets_far_from_zero_does_not_cancel(offset):
    targets = offset + np.random.default_rng(0).normal(0, 0.1, (1000, 2))
    variation = ((targets - targets.mean(0)) ** 2).sum()
    rows = gd.Dataset.from_arrays(np.zeros((1000, 1)), targets, dtype=torch.float64).train
    assert rows.variation == pytest.approx(variation, rel=1e-8)
