"""A point counts as near a stationary point, on runs whose distance is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gdframe as gd
from gdframe.diagnostics.nearness import nearness
from gdframe.objective import Objective


def row_at(model):
    value = model()
    (gradient,) = torch.autograd.grad(value, model.x)
    return {"objective": value.item(), "gradient_norm": gradient.norm().item()}


@settings(max_examples=25, deadline=None)
@given(
    power=st.floats(-12, 2),
    condition=st.sampled_from([1.0, 10.0, 1e4]),
    dimension=st.sampled_from([1, 2, 7]),
)
def test_a_point_of_a_quadratic_is_near_if_its_distance_is_small(power, condition, dimension):
    distance = 10**power
    start = [distance / dimension**0.5] * dimension
    model = gd.Quadratic(dimension=dimension, condition_number=condition, start=start).double()
    data = gd.Dataset.none(dtype=torch.float64)
    near = nearness(Objective(model), data, row_at(model), {"x": model.x})
    assert near.distance == pytest.approx(distance, rel=1e-4)
    assert near.is_near is (near.distance <= 1e-3 * (1 + distance))


@pytest.mark.parametrize("offset", [1e-5, 0.3])
@pytest.mark.parametrize("point", [[3.0, 2.0], [-0.1279613, -1.9537150], [-0.2708446, -0.9230386]])
def test_minima_saddles_and_maxima_are_stationary_and_slopes_are_not(point, offset):
    model = gd.Himmelblau(start=[value + offset for value in point]).double()
    data = gd.Dataset.none(dtype=torch.float64)
    near = nearness(Objective(model), data, row_at(model), {"x": model.x})
    assert near.is_near is (offset < 1e-3)


@pytest.mark.parametrize("scale", [1e-11, 1.0, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_nearness_does_not_depend_on_the_scale_of_the_target(scale, shift):
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = scale * (x[:, 0] + shift)
    data = gd.Dataset.from_arrays(x.numpy(), y.numpy(), dtype=torch.float64)
    model = gd.Linear(2).double()
    objective = Objective(model, gd.MSE())
    for share, is_near in ((0.0, False), (0.9, False), (0.9999, True)):
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[scale * share, 0.0]]))
            model.bias.fill_(scale * shift)
            objective_value = ((model(x)[:, 0] - y) ** 2).mean().item()
        row = {"objective": objective_value, "gradient_norm": 1e-12}
        result = nearness(objective, data, row, dict(model.named_parameters()))
        assert result.is_near is is_near


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_network_at_its_start_is_not_near(activation):
    data = gd.Iris().load(dtype=torch.float64)
    model = gd.MLP(data.features, 3, hidden=[4], activation=activation).double()
    gd.initialize(model, gd.Xavier(), seed=0)
    objective = Objective(model, gd.CrossEntropy())
    evaluation = objective.evaluate(objective.encode(data.train), data, gradient=True)
    row = {"objective": evaluation.objective, "gradient_norm": evaluation.gradient_norm}
    assert not nearness(objective, data, row, dict(model.named_parameters())).is_near
