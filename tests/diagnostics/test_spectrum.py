"""Eigenvalues against NumPy's, stability limits against closed forms, minima against solutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gdframe as gd
from gdframe.diagnostics.hessian import Hessian
from gdframe.diagnostics.lanczos import extremes
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.objective import Objective


def parameters(module):
    return {n: p for n, p in module.named_parameters() if p.requires_grad}


def dense(hessian):
    """Return the matrix from its products with the unit vectors."""
    return np.stack([hessian(row) for row in np.eye(hessian.size)], axis=1)


@given(
    st.integers(1, 30), st.integers(0, 10**6), st.booleans(),
    st.sampled_from([0.0, 1e-9, 1.0]),
)  # fmt: skip
def test_extremes_equal_those_of_a_dense_solver(size, seed, low_rank, shift):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(size, max(1, size // 3) if low_rank else size))
    signs = np.sign(rng.normal(size=factor.shape[1]))
    matrix = (factor * signs) @ factor.T + shift * np.eye(size)
    expected = np.linalg.eigvalsh(matrix)
    spectrum = extremes(lambda v: matrix @ v, size, smallest=True)
    scale = np.abs(expected).max()
    assert spectrum.largest == pytest.approx(expected[-1], abs=1e-6 * scale)
    assert spectrum.smallest == pytest.approx(expected[0], abs=1e-6 * scale)
    image = spectrum.largest * spectrum.vector
    np.testing.assert_allclose(matrix @ spectrum.vector, image, atol=2e-3 * max(scale, 1e-300))


def test_a_start_close_to_the_eigenvector_saves_products():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(300, 300))
    matrix = factor @ factor.T
    cold = extremes(lambda v: matrix @ v, 300)
    warm = extremes(lambda v: 1.01 * (matrix @ v), 300, start=cold.vector)
    assert warm.largest == pytest.approx(1.01 * cold.largest, rel=1e-6)
    assert warm.products < cold.products / 1.5


def test_a_start_orthogonal_to_the_eigenvector_finds_it():
    matrix = np.diag([5.0, 3.0, 1.0])
    spectrum = extremes(lambda v: matrix @ v, 3, start=np.array([0.0, 1.0, 0.0]))
    assert spectrum.largest == pytest.approx(5.0, rel=1e-9)


@pytest.mark.parametrize("penalty", [None, gd.L2(strength=0.3), gd.L1(strength=0.3)])
@pytest.mark.parametrize("name", ["linear", "mlp", "softmax", "function"])
def test_products_equal_those_with_the_dense_hessian(name, penalty):
    torch.manual_seed(0)
    if name == "function":
        objective = Objective(gd.Rosenbrock(), None, penalty)
        data = gd.Dataset.none(dtype=torch.float64)
    else:
        source = gd.Iris() if name == "softmax" else gd.Diabetes()
        data = source.load(dtype=torch.float64)
        loss = gd.CrossEntropy() if name == "softmax" else gd.MSE()
        outputs = loss.outputs(data)
        model = (
            gd.MLP(data.features, outputs, hidden=[3])
            if name == "mlp"
            else gd.Linear(data.features, outputs)
        )
        objective = Objective(model, loss, penalty)
    objective.model.double()
    named = parameters(objective.model)
    rows = objective.encode(data.train)
    shapes = [p.shape for p in named.values()]
    flat = torch.cat([p.detach().reshape(-1) for p in named.values()]) + 0.1

    def value(point):
        parts = torch.split(point, [math.prod(s) for s in shapes])
        values = {n: part.view(s) for n, part, s in zip(named, parts, shapes)}
        inputs = () if name == "function" else (rows.features,)
        out = torch.func.functional_call(objective.model, values, inputs)
        loss = out if name == "function" else objective.loss(out, rows.targets)
        penalized = {id(p) for p in objective.penalized}
        weights = [values[n] for n, p in named.items() if id(p) in penalized]
        return loss + objective.penalty.value(weights)

    expected = torch.autograd.functional.hessian(value, flat).numpy()
    parts = torch.split(flat, [math.prod(s) for s in shapes])
    point = {n: part.view(s) for n, part, s in zip(named, parts, shapes)}
    hessian = Hessian(objective, point, rows, torch.float64)
    np.testing.assert_allclose(dense(hessian), expected, rtol=1e-9, atol=1e-9)
    spectrum = extremes(hessian, hessian.size, smallest=True)
    eigenvalues = np.linalg.eigvalsh(expected)
    scale = np.abs(eigenvalues).max()
    assert spectrum.largest == pytest.approx(eigenvalues[-1], abs=1e-6 * scale)
    assert spectrum.smallest == pytest.approx(eigenvalues[0], abs=1e-6 * scale)


def linear_rule(rule, **hyper):
    model = gd.Quadratic()
    run = gd.Problem(gd.Objective(model), rule(model.parameters(), **hyper), gd.Constant(), 0)
    return LinearRule.of(run)


@pytest.mark.parametrize("lr", [1e-3, 0.7])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_limits_equal_the_textbook(lr, beta):
    limits = {
        (gd.GD,): 2.0,
        (gd.Momentum, beta): 2 * (1 + beta),
        (gd.Nesterov, beta): (2 + 2 * beta) / (1 + 2 * beta),
    }
    for (rule, *decay), limit in limits.items():
        hyper = {"beta": decay[0]} if decay else {}
        assert linear_rule(rule, lr=lr, **hyper).product == pytest.approx(limit, rel=1e-6)


def test_a_users_linear_rule_has_a_limit_and_adaptive_rules_have_none():
    class Halved(gd.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            return [p - 0.5 * hyper["lr"] * g for p, g in zip(params, grads)], state

    assert linear_rule(Halved, lr=0.1).product == pytest.approx(4.0)
    for rule in (gd.Adam, gd.RMSprop, gd.Adagrad):
        assert linear_rule(rule, lr=0.1) is None
    assert linear_rule(torch.optim.SGD, lr=0.1) is None


class Decayed(gd.Optimizer):
    """Weight decay beside the gradient, inside it, or a step of another power of lr."""

    kind = "beside"

    def __init__(self, params, lr, *, decay=0.5):
        super().__init__(params, {"lr": lr, "decay": decay})

    @classmethod
    def update(cls, params, grads, state, hyper):
        lr, decay = hyper["lr"], hyper["decay"]
        pairs = zip(params, grads, strict=True)
        steps = {
            "beside": lambda p, g: lr * g + lr * decay * p,
            "inside": lambda p, g: lr * (g + decay * p),
            "squared": lambda p, g: lr**2 * g,
            "rooted": lambda p, g: lr**0.5 * g,
        }
        return [p - steps[cls.kind](p, g) for p, g in pairs], state


@pytest.mark.parametrize("kind", ["beside", "inside", "squared", "rooted"])
@pytest.mark.parametrize("lr", [0.01, 0.3])
def test_a_rule_has_no_limit_where_it_depends_on_more_than_lr_times_curvature(kind, lr):
    rule = type(kind, (Decayed,), {"kind": kind})
    assert linear_rule(rule, lr=lr) is None
    if kind in ("beside", "inside"):
        assert linear_rule(rule, lr=lr, decay=0.0).product == pytest.approx(2.0)


def test_radii_are_the_factors_by_which_a_rule_contracts():
    rule = linear_rule(gd.Momentum, lr=0.1, beta=0.5)
    x = torch.tensor([1.0], dtype=torch.float64)
    state = gd.Momentum.init_state([x])
    sizes = []
    for _ in range(400):
        (x,), state = gd.Momentum.update([x], [3.0 * x], state, {"lr": 0.1, "beta": 0.5})
        sizes.append(abs(x.item()))
    measured = (max(sizes[390:]) / max(sizes[190:200])) ** (1 / 200)
    assert rule.radii(np.array([3.0]))[0] == pytest.approx(measured, rel=5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("penalty", [None, gd.L2(strength=0.1), gd.L2(strength=0.1, biases=True)])
@pytest.mark.parametrize("bias", [True, False])
def test_least_squares_have_the_right_hessian_and_minimum(dtype, penalty, bias):
    data = gd.Diabetes().load(dtype=dtype)
    objective = Objective(gd.Linear(data.features, bias=bias).to(dtype), gd.MSE(), penalty)
    quadratic = least_squares(objective, data)
    rows = objective.encode(data.train)
    hessian = Hessian(objective, parameters(objective.model), rows, torch.float64)
    expected = np.linalg.eigvalsh(dense(hessian))
    np.testing.assert_allclose(quadratic.eigenvalues, expected, rtol=1e-6, atol=1e-9)
    x, y = rows.features.double().numpy(), rows.targets.double().numpy()
    x = np.column_stack([x, np.ones(len(x))]) if bias else x
    strength = 0.0 if penalty is None else 0.1
    penalized = np.ones(x.shape[1])
    if bias and not (penalty and penalty.biases):
        penalized[-1] = 0.0
    extra = np.sqrt(strength * len(x)) * np.diag(penalized)
    solution = np.linalg.lstsq(np.vstack([x, extra]), np.vstack([y, 0 * extra[:, :1]]))[0]
    minimum = ((x @ solution - y) ** 2).mean()
    minimum += strength * (penalized[:, None] * solution**2).sum()
    assert quadratic.minimum == pytest.approx(minimum, rel=1e-9)
    assert least_squares(objective, data) is quadratic


def test_other_objectives_are_not_least_squares():
    data = gd.Diabetes().load()
    for model, loss, penalty in (
        (gd.MLP(data.features, hidden=[2]), gd.MSE(), None),
        (gd.Linear(data.features), gd.MAE(), None),
        (gd.Linear(data.features), gd.MSE(), gd.L1(strength=0.1)),
    ):
        assert least_squares(Objective(model, loss, penalty), data) is None
    assert math.isfinite(
        least_squares(Objective(gd.Linear(data.features), gd.MSE()), data).condition_number
    )
