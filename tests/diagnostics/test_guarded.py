"""A diagnosis that fails does not end its run, and names each missing quantity once."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import gdframe as gd

DATA = gd.Regression(rows=20, features=3, validation=0.0).load()


class OnceOnly(torch.autograd.Function):
    """A function without a second derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (1 - x.tanh() ** 2)


class NoSecondDerivative(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return OnceOnly.apply(self.layer(x))


class Pointed(nn.Module):
    """A model whose second derivative at the start is NaN."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 3))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return (x @ self.weight.T).abs() ** 1.5 + self.bias


class MixedTypes(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        return self.layer(x) * self.scale.to(x.dtype)


def frozen():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    model[0].weight.requires_grad_(False)
    return model


@pytest.mark.parametrize("make", [NoSecondDerivative, Pointed, MixedTypes, frozen])
def test_the_run_continues(make, caplog):
    model = make()
    optimizer = gd.GD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    diagnosis = gd.Diagnostics(curvature=True, smallest=True)
    with caplog.at_level(logging.WARNING, logger="gdframe"):
        result = gd.Trainer(
            model, gd.MSE(), optimizer, gd.FullBatch(20), DATA, epochs=4, diagnosis=diagnosis
        ).fit()
    assert result.epochs == 4
    assert str(result.status) == "max_epochs"
    warnings = [r.message for r in caplog.records if "is not measured" in r.message]
    if make in (NoSecondDerivative, Pointed):
        assert len(warnings) == len(set(warnings)) >= 1
        assert result.diagnostics["missing"]
    else:
        assert not warnings
        assert result.diagnostics["lambda_max"] > 0


def test_a_function_with_infinite_curvature_at_its_start_continues():
    class Root(gd.Function):
        def __init__(self):
            super().__init__([0.0, 1.0], 2)

        def value(self, x):
            return (x[..., 0].abs() ** 1.5).sum() + (x[..., 1] ** 2).sum()

    model = Root()
    result = gd.Trainer(
        model, None, gd.GD(model.parameters(), lr=0.1), gd.FullBatch(1), gd.Dataset.none(),
        epochs=5, diagnosis=gd.Diagnostics(),
    ).fit()  # fmt: skip
    assert result.epochs == 5


def test_measurements_do_not_change_the_attributes_of_a_model():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = nn.Linear(3, 1), 0

        def forward(self, x):
            self.calls += 1
            return self.layer(x) * (1 + 1 / self.calls)

    objectives = []
    for curvature in (False, True):
        with gd.seeded(0, gd.Purpose.INITIALIZE):
            model = Counting()
        result = gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.FullBatch(20), DATA, epochs=3,
            diagnosis=gd.Diagnostics(curvature=curvature),
        ).fit()  # fmt: skip
        objectives.append(result.objective)
    assert objectives[0] == objectives[1]
