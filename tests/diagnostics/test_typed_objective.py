"""Diagnostics in float64 describe the objective that a run in float32 trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.diagnostics.minimum import baseline_loss, minimum_of
from gdframe.diagnostics.nearness import UNKNOWN, nearness
from gdframe.diagnostics.spectrum import spectrum_at
from gdframe.diagnostics.theory import theory_of
from gdframe.diagnostics.typed_objective import is_same_in_double
from gdframe.objective import Objective

THRESHOLDS = (0.1, 0.6, 0.7)
"""In float32, 0.1 and 0.6 are rounded up, and 0.7 is rounded down."""


class Bins(gd.LinearModel):
    def __init__(self):
        super().__init__(len(THRESHOLDS), 1, bias=True)

    def design(self, x):
        return torch.cat([(x <= edge).to(x.dtype) for edge in THRESHOLDS], dim=1)


class Fourier(gd.LinearModel):
    """Random Fourier features whose frequencies are a buffer."""

    def __init__(self):
        super().__init__(4, 1, bias=True)
        self.register_buffer("frequencies", torch.linspace(1, 7, 4)[None])

    def design(self, x):
        return torch.cos(x @ self.frequencies)


class Levels(nn.Module):
    """An embedding of the level and a small network."""

    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(12, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.embedding((x[:, 0] * 10).long())))


class Smooth(Levels):
    def forward(self, x):
        near = torch.exp(-((10 * x - torch.arange(12)) ** 2))
        return self.out(torch.tanh(near @ self.embedding.weight))


class Steep(gd.MSE):
    """Weighs the rows of one target more."""

    curved = True

    def __call__(self, outputs, targets):
        weights = torch.where(targets == 0.3, 100.0, 1.0)
        return (weights * (outputs - targets) ** 2).mean()


def steps(dtype=torch.float32, classes=False):
    x = np.arange(66)[:, None] % 11 / 10
    y = sum(np.where(x[:, 0] <= edge, size, 0) for edge, size in zip(THRESHOLDS, (5, -3, 2)))
    y = (y + np.sin(np.arange(66)) > 1).astype(int) if classes else y + 1.0
    return gd.Dataset.from_arrays(x, y, dtype=dtype)


def solution(data, model):
    x = model.design(data.train.features).detach().double().numpy()
    x = np.column_stack([x, np.ones(len(x))])
    y = data.train.targets.double().numpy()
    w, *_ = np.linalg.lstsq(x, y, rcond=None)
    return ((x @ w - y) ** 2).mean(), 2 * np.linalg.eigvalsh(x.T @ x)[-1] / len(x)


@pytest.mark.parametrize("kind", [Bins, Fourier])
def test_the_minimum_of_least_squares_is_that_of_the_design_as_trained(kind):
    data, model = steps(), kind()
    minimum, largest = solution(data, model)
    objective = Objective(model, gd.MSE())
    assert minimum_of(objective, data).value == pytest.approx(minimum, abs=1e-6)
    assert theory_of(objective, data).minimum == pytest.approx(minimum, abs=1e-6)
    spectrum = spectrum_at(objective, dict(model.named_parameters()), data.train)
    assert spectrum.largest == pytest.approx(largest, rel=1e-5)


@pytest.mark.parametrize("kind", [Bins, Fourier])
def test_the_minimum_of_logistic_regression_is_that_of_the_design_as_trained(kind):
    data, model = steps(classes=True), kind()
    fixed = model.design(data.train.features).double().numpy()
    labels = data.train.targets.reshape(-1).numpy()
    same = gd.Dataset.from_arrays(fixed, labels, dtype=torch.float64)
    terms, penalty = fixed.shape[1], gd.L2(strength=0.1)
    expected = Objective(gd.Linear(terms), gd.BinaryCrossEntropy(), penalty)
    objective = Objective(model, gd.BinaryCrossEntropy(), penalty)
    minimum = minimum_of(expected, same).value
    assert minimum_of(objective, data).value == pytest.approx(minimum, rel=1e-6)
    assert theory_of(objective, data).minimum == pytest.approx(minimum, rel=1e-6)


def measured(model, loss, dtype):
    data, model = steps(dtype), model.to(dtype)
    objective, parameters = Objective(model, loss), dict(model.named_parameters())
    rows = objective.encode(data.train)
    return objective, parameters, rows, data


@pytest.mark.parametrize("kind", [Levels, Smooth])
def test_curvature_is_that_of_the_model_as_trained(kind):
    with gd.seeded(0, gd.Purpose.INITIALIZE):
        model = kind()
    objective, parameters, rows, data = measured(model, gd.MSE(), torch.float32)
    is_same = kind is Smooth
    assert is_same_in_double(objective, parameters, rows) is is_same
    value = objective.batch_loss(rows.features, rows.targets)
    slopes = torch.autograd.grad(value, list(parameters.values()), create_graph=True)
    flat = torch.cat([slope.reshape(-1) for slope in slopes])
    matrix = torch.stack([
        torch.cat([part.reshape(-1) for part in torch.autograd.grad(
            entry, list(parameters.values()), retain_graph=True
        )]) for entry in flat
    ])  # fmt: skip
    expected = float(torch.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
    assert spectrum_at(objective, parameters, rows).largest == pytest.approx(expected, rel=5e-3)
    row = {"objective": value.item(), "gradient_norm": flat.norm().item()}
    assert (nearness(objective, data, row, parameters) != UNKNOWN) is is_same


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_baseline_loss_a_loss_is_that_of_the_loss_as_trained(dtype):
    x = np.arange(20.0)[:, None] / 20
    y = np.where(np.arange(20) % 2, 0.3, 1.3)
    data = gd.Dataset.from_arrays(x, y, dtype=dtype)
    loss = Steep()
    baseline = baseline_loss(loss, Objective(gd.Linear(1).to(dtype), loss), data)
    # the constant output c has the loss (100 (c - 0.3)^2 + (c - 1.3)^2) / 2
    assert baseline == pytest.approx(100 / 101 / 2, rel=1e-3)
