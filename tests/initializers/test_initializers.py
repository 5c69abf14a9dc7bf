"""All registered initialisers: functions of the seed with the documented moments."""

from __future__ import annotations

import math

import pytest
import torch

import gdframe as gd

NAMES = list(gd.INITIALIZERS)


@pytest.mark.parametrize("name", NAMES)
def test_depends_on_the_seed_alone(name):
    def start(seed: int, dtype: torch.dtype) -> torch.Tensor:
        torch.manual_seed(seed + int(dtype == torch.float32))
        model = gd.MLP(5, 2, hidden=[4]).to(dtype)
        gd.initialize(model, gd.INITIALIZERS.build(name), seed=seed)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(start(1, torch.float64), start(1, torch.float64))
    assert torch.equal(start(1, torch.float64).float(), start(1, torch.float32))
    assert torch.equal(start(1, torch.float64), start(2, torch.float64)) == (name == "zeros")


@pytest.mark.parametrize("name", NAMES)
def test_biases_start_at_zero(name):
    model = gd.MLP(5, 2)
    gd.initialize(model, gd.INITIALIZERS.build(name), seed=0)
    assert all((p == 0).all() for n, p in model.named_parameters() if n.endswith("bias"))


def test_values_have_the_documented_moments():
    def weights(initializer, shape=(200, 300)) -> torch.Tensor:
        model = torch.nn.Linear(shape[1], shape[0])
        gd.initialize(model, initializer, seed=3)
        return model.weight.detach()

    normal = weights(gd.Normal(mean=1.0, std=0.5))
    assert normal.mean().item() == pytest.approx(1.0, abs=0.01)
    assert normal.std().item() == pytest.approx(0.5, rel=0.02)
    uniform = weights(gd.Uniform(low=2.0, high=3.0))
    assert uniform.min() >= 2
    assert uniform.max() <= 3
    assert weights(gd.Kaiming()).std().item() == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    bound = math.sqrt(6 / 500)
    xavier = weights(gd.Xavier())
    assert xavier.abs().max().item() == pytest.approx(bound, rel=0.01)


def test_convolutions_count_their_receptive_field():
    model = torch.nn.Conv2d(20, 30, 3)
    gd.initialize(model, gd.Kaiming(), seed=0)
    assert model.weight.std().item() == pytest.approx(math.sqrt(2 / 180), rel=0.05)


def test_layer_initialisers_refuse_a_point():
    with pytest.raises(gd.UserError, match="initializer=normal"):
        gd.initialize(gd.Rosenbrock(), gd.Xavier(), seed=0)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("normal", {"std": 0.0}), ("uniform", {"low": 1.0, "high": 1.0}), ("xavier", {"gain": -1.0})],
)
def test_wrong_settings_are_refused(name, wrong):
    with pytest.raises(gd.UserError):
        gd.INITIALIZERS.build(name, **wrong)
