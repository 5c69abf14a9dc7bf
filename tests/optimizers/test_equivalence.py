"""Optimizers equal torch.optim, and closed forms on quadratics."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gdframe import GD, Adagrad, Adam, Momentum, Nesterov, RMSprop

TWINS = [
    (GD, {}, torch.optim.SGD, {}),
    (Momentum, {"beta": 0.8}, torch.optim.SGD, {"momentum": 0.8}),
    (Nesterov, {"beta": 0.8}, torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    (Adagrad, {"eps": 1e-10}, torch.optim.Adagrad, {"eps": 1e-10}),
    (RMSprop, {"decay": 0.95}, torch.optim.RMSprop, {"alpha": 0.95}),
    (Adam, {"beta1": 0.8, "beta2": 0.99}, torch.optim.Adam, {"betas": (0.8, 0.99)}),
]


@pytest.mark.parametrize(("ours", "settings", "theirs", "torch_settings"), TWINS)
def test_equals_torch_over_200_steps(ours, settings, theirs, torch_settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    copied = copy.deepcopy(model)
    x = torch.randn(200, 4, 5, dtype=torch.float64)
    y = x.sin().sum(dim=2, keepdim=True)
    pair = (
        (model, ours(model.parameters(), lr=0.01, **settings)),
        (copied, theirs(copied.parameters(), lr=0.01, **torch_settings)),
    )
    for step in range(200):
        for net, optimizer in pair:
            optimizer.zero_grad()
            ((net(x[step]) - y[step]) ** 2).mean().backward()
            optimizer.step()
    for p, q in zip(model.parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def trajectory(optimizer_class, curvature: float, steps: int, **settings: float) -> np.ndarray:
    """Minimise curvature / 2 x^2 from 1; return all points."""
    x = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    optimizer = optimizer_class([x], **settings)
    points = [1.0]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * curvature * x**2).backward()
        optimizer.step()
        points.append(x.item())
    return np.array(points)


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.3])
def test_gradient_descent_contracts_by_its_closed_form(rate):
    points = trajectory(GD, 1.5, 30, lr=rate)
    np.testing.assert_allclose(points, (1 - rate * 1.5) ** np.arange(31), rtol=1e-12)


@pytest.mark.parametrize("optimizer_class", [Momentum, Nesterov])
def test_momentum_follows_its_linear_recurrence(optimizer_class):
    lr, beta, curvature = 0.05, 0.9, 2.0
    points = trajectory(optimizer_class, curvature, 60, lr=lr, beta=beta)
    # (x, v) -> M (x, v), by the rule written out for a linear gradient
    if optimizer_class is Momentum:
        matrix = np.array([[1 - lr * curvature, -lr * beta], [curvature, beta]])
    else:
        look = 1 - lr * curvature * (1 + beta)
        matrix = np.array([[look, -lr * beta**2], [curvature, beta]])
    state, expected = np.array([1.0, 0.0]), [1.0]
    for _ in range(60):
        state = matrix @ state
        expected.append(state[0])
    np.testing.assert_allclose(points, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("optimizer_class", "limit"), [(GD, 2.0), (Momentum, 3.8)])
def test_stability_limits(optimizer_class, limit):
    settings = {"beta": 0.9} if optimizer_class is Momentum else {}
    assert abs(trajectory(optimizer_class, 1.0, 4000, lr=limit - 0.02, **settings)[-1]) < 1e-3
    assert abs(trajectory(optimizer_class, 1.0, 4000, lr=limit + 0.02, **settings)[-1]) > 1e3


def test_adam_counts_steps_beyond_float32():
    x = nn.Parameter(torch.tensor([1.0]))
    optimizer = Adam([x], lr=0.1)
    (x**2).sum().backward()
    optimizer.step()
    optimizer.state[x]["step"] += 2**24
    optimizer.step()
    assert optimizer.state[x]["step"].item() == 2**24 + 2
