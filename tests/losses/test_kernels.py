"""Values and slopes of kernels equal those of autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import gdframe as gd

LOSSES = [name for name in gd.LOSSES if gd.LOSSES.get(name).kernel is not None]
PENALTIES = [name for name in gd.PENALTIES if gd.PENALTIES.get(name).kernel is not None]


def builtin(registry):
    """Return the names that gdframe itself registers; other tests may have registered more."""
    return set(registry) - set(registry.user_components())


def test_all_losses_and_penalties_of_gdframe_have_kernels():
    assert set(LOSSES) == builtin(gd.LOSSES)
    assert set(PENALTIES) == builtin(gd.PENALTIES) - {"none"}


def encoded(loss, index):
    if loss.task == "regression":
        return torch.tensor([[abs(math.sin(index))]], dtype=torch.float64)
    if loss.coupled:
        return torch.tensor([index % 4])
    return torch.tensor([[1.0 if index % 2 else -1.0]], dtype=torch.float64)


@pytest.mark.parametrize("name", LOSSES)
def test_value_and_slope_of_a_loss_equal_autograd(name):
    loss = gd.LOSSES.build(name)
    width = 4 if loss.coupled else 1
    for index, scale in enumerate(np.geomspace(1e-3, 300, 24)):
        z = torch.linspace(-1, 1, width, dtype=torch.float64)[None] * scale + scale / 3
        z.requires_grad_()
        y = encoded(loss, index)
        value = loss(z, y)
        (slope,) = torch.autograd.grad(value, z)
        if loss.coupled:
            slopes = np.zeros(width)
            number = loss.kernel(z.detach().numpy()[0], int(y), slopes, *loss.kernel_arguments)
        else:
            number, slopes = loss.kernel(z.item(), y.item(), *loss.kernel_arguments)
        assert number == pytest.approx(value.item(), rel=1e-12, abs=1e-300)
        np.testing.assert_allclose(slopes, slope.numpy().reshape(-1), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", [name for name in LOSSES if not gd.LOSSES.get(name).coupled])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_stay_so(name, bad):
    loss = gd.LOSSES.build(name)
    expected = loss(torch.tensor([[bad]], dtype=torch.float64), encoded(loss, 1)).item()
    if math.isfinite(expected):
        return  # the loss of an infinite margin is zero
    try:
        value, _ = loss.kernel(bad, encoded(loss, 1).item(), *loss.kernel_arguments)
    except OverflowError:  # plain Python raises this for infinity
        return
    assert not math.isfinite(value)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("w", [-2.5, -1e-8, 0.0, 1e-8, 0.3])
def test_value_and_slope_of_a_penalty_equal_autograd(name, w):
    penalty = gd.PENALTIES.build(name, strength=0.7)
    weight = torch.tensor([w], dtype=torch.float64, requires_grad=True)
    value = penalty.value([weight])
    (slope,) = torch.autograd.grad(value, weight)
    number, kernel_slope = penalty.kernel(w, *penalty.kernel_arguments)
    assert number == pytest.approx(value.item(), rel=1e-12)
    assert kernel_slope == pytest.approx(slope.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "settings", "expected"), [
    ("none", {}, 0.0), ("l2", {"strength": 0.3}, 0.3), ("l1", {"strength": 0.3}, None),
    ("elastic_net", {"strength": 0.3, "ratio": 0.0}, 0.3), ("elastic_net", {"ratio": 0.1}, None),
])  # fmt: skip
def test_quadratic_penalties_have_a_curvature(name, settings, expected):
    assert gd.PENALTIES.build(name, **settings).curvature == expected
