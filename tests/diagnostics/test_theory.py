"""Minima against other solvers, and predicted convergence rates against measured ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from thinned import thinned

import gdframe as gd
from gdframe.diagnostics.theory import measured_rate, theory_of
from gdframe.objective import Objective


@pytest.mark.parametrize("strength", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize("bias", [True, False])
def test_the_minimum_of_logistic_regression_equals_scikit_learns(strength, bias):
    data = gd.BreastCancer().load(dtype=torch.float64)
    model = gd.Linear(data.features, 1, bias=bias).double()
    objective = Objective(model, gd.BinaryCrossEntropy(), gd.L2(strength=strength))
    x, y = data.train.features.numpy(), data.train.targets.numpy()
    # scikit-learn minimises C * sum(loss) + |w|^2 / 2
    solver = LogisticRegression(
        C=1 / (2 * strength * len(x)), fit_intercept=bias, tol=1e-10, max_iter=10_000
    ).fit(x, y)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(solver.coef_))
        if bias:
            model.bias.copy_(torch.from_numpy(solver.intercept_))
    expected = objective.evaluate(objective.encode(data.train), data, gradient=True).objective
    theory = theory_of(objective, data)
    assert theory.minimum == pytest.approx(expected, rel=1e-9)
    assert theory.minimum <= expected + 1e-15


RULES = [
    ("optimizer=gd", "lr=0.2"),
    ("optimizer=momentum", "optimizer.beta=0.5", "lr=0.1"),
    ("optimizer=nesterov", "optimizer.beta=0.5", "lr=0.1"),
]


@pytest.mark.parametrize("rule", thinned([(rule,) for rule in RULES], 4), ids=lambda rule: rule[0])
@pytest.mark.parametrize(
    "problem",
    [
        ("data=diabetes", "penalty=l2"),
        pytest.param(("data=diabetes",), marks=pytest.mark.slow),
        pytest.param(("data=breast_cancer", "penalty=l2"), marks=pytest.mark.slow),
    ],
    ids="-".join,
)
def test_runs_converge_at_the_predicted_rate(tmp_path, rule, problem):
    engine = "engine=gram" if "data=diabetes" in problem else "engine=auto"  # which is faster
    result = gd.train(
        *problem, *rule, "variant=batch", "dtype=float64", "epochs=1500", engine,
        "diagnostics.theory=true", "stopping.tolerance=null", folder=tmp_path / "run",
    )  # fmt: skip
    facts = result.diagnostics
    assert facts["measured_rate"] == pytest.approx(facts["predicted_rate"], abs=2e-3)
    gap = result.history["theory/gap"]
    assert gap[0] > gap[-1] > -1e-9 * facts["minimum"]
    assert gap[0] == pytest.approx(result.history["objective"][0] - facts["minimum"])


def test_the_rate_of_gradient_descent_equals_the_textbook(tmp_path):
    result = gd.train(
        "variant=batch", "lr=0.2", "diagnostics.theory=true", "epochs=3", folder=tmp_path / "run"
    )
    facts = result.diagnostics
    smallest = facts["lambda_max"] / facts["condition_number"]
    expected = max(abs(1 - 0.2 * smallest), abs(1 - 0.2 * facts["lambda_max"])) ** 2
    assert facts["predicted_rate"] == pytest.approx(expected, rel=1e-9)


def test_no_rate_is_predicted_for_small_batches_or_adaptive_rules(tmp_path):
    for words in (("variant=sgd",), ("variant=batch", "optimizer=adam")):
        result = gd.train(
            *words, "lr=0.01", "epochs=2", "diagnostics.theory=true", folder=tmp_path / words[-1]
        )
        assert "predicted_rate" not in result.diagnostics
        assert "minimum" in result.diagnostics


def test_an_objective_without_theory_is_refused_with_a_way_out(gdframe):
    done = gdframe("data=digits", "diagnostics.theory=true")
    assert done.code == 2
    assert "penalty=l2" in done.err
    assert not done.runs


def test_a_rate_is_measured_above_rounding_only():
    times = np.arange(200.0)
    gap = np.maximum(0.5**times, 1e-14)
    assert measured_rate(3 + gap, 3.0, times) == pytest.approx(0.5, rel=1e-3)
    assert measured_rate(3 + gap, 3.0, 4 * times) == pytest.approx(0.5**0.25, rel=1e-3)
    assert measured_rate(np.full(50, 3.0), 3.0, times[:50]) is None
    assert measured_rate(np.array([5.0, 4.0]), 3.0, times[:2]) is None
