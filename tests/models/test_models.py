"""All registered models."""

from __future__ import annotations

import pytest
import torch

import gdframe as gd
from gdframe.models import Function

NAMES = list(gd.MODELS)
FUNCTIONS = [name for name in NAMES if issubclass(gd.MODELS.get(name), Function)]


@pytest.mark.parametrize("name", [n for n in NAMES if n not in FUNCTIONS])
@pytest.mark.parametrize("outputs", [1, 3])
def test_predicts_a_row_of_outputs_for_each_row(name, outputs):
    model = gd.MODELS.build(name, features=16, outputs=outputs)
    x = torch.randn(5, 16)
    whole = model(x)
    assert whole.shape == (5, outputs)
    torch.testing.assert_close(whole[2:3], model(x[2:3]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_zero_gradient_and_lowest_value_at_their_minima(name):
    function = gd.MODELS.build(name).double()
    start = function().item()
    assert function.minima()
    lowest = set()
    for minimum in function.minima():
        x = torch.tensor(minimum, dtype=torch.float64, requires_grad=True)
        value = function.value(x)
        (slope,) = torch.autograd.grad(value, x)
        assert value.item() < start
        assert slope.abs().max() < 1e-6
        around = function.value(x.detach() + 0.05 * torch.randn(200, len(x)).double())
        assert (around >= value.detach() - 1e-12).all()
        lowest.add(round(value.item(), 9))
    assert len(lowest) == 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_evaluate_many_points_at_once(name):
    function = gd.MODELS.build(name)
    points = torch.randn(4, 7, len(function.x))
    values = function.value(points)
    assert values.shape == (4, 7)
    torch.testing.assert_close(values[1, 2], function.value(points[1, 2]))


def test_polynomial_terms_equal_scikit_learn():
    from sklearn.preprocessing import PolynomialFeatures

    model = gd.Polynomial(3, 1, degree=3, bias=False).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    torch.nn.init.ones_(model.weight)
    expected = PolynomialFeatures(3, include_bias=False).fit_transform(x.numpy()).sum(axis=1)
    torch.testing.assert_close(model(x)[:, 0].detach(), torch.from_numpy(expected))
    powers = gd.Polynomial(3, 1, degree=2, interactions=False, bias=False).double()
    torch.nn.init.ones_(powers.weight)
    torch.testing.assert_close(powers(x)[:, 0].detach(), (x + x**2).sum(dim=1))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("polynomial", {"degree": 0}), ("polynomial", {"degree": 20}), ("mlp", {"hidden": [0]}),
        ("cnn", {"channels": [8, 8, 8, 8]}), ("quadratic", {"dimension": 0}),
        ("quadratic", {"condition_number": 0.5}), ("rosenbrock", {"dimension": 1}),
        ("himmelblau", {"start": [1.0]}), ("double_well", {"tilt": float("nan")}),
        ("mlp", {"activation": "nothing"}), ("mlp", {"hidden": 3}),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(name, wrong):
    with pytest.raises(gd.UserError):
        gd.MODELS.build(name, features=16, outputs=1, **wrong)


def test_cnn_refuses_images_that_are_not_square():
    with pytest.raises(gd.UserError, match="square"):
        gd.CNN(10)
