"""Components that treat a few rows of many in another way: no engine misses these rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd

ROWS, MISSING = 6000, [2000, 3000, 4000]


class Sentinel(gd.Loss):
    """A target of 0 is missing, which the kernel forgets."""

    def __call__(self, outputs, targets):
        return torch.where(targets == 0, 0.0, (outputs - targets) ** 2).mean()

    @staticmethod
    def kernel(z, y):
        return (z - y) * (z - y), 2 * (z - y)


class Complete(gd.Loss):
    """The same, and the kernel knows it."""

    def __call__(self, outputs, targets):
        return torch.where(targets == 0, 0.0, (outputs - targets) ** 2).mean()

    @staticmethod
    def kernel(z, y):
        if y == 0:
            return 0.0, 0.0
        return (z - y) * (z - y), 2 * (z - y)


class Filled(gd.LinearModel):
    """A feature of 0 is missing, and filled with the mean over the batch."""

    def __init__(self):
        super().__init__(4, 1, bias=True)

    def design(self, features):
        known = features != 0
        mean = (features * known).sum(0) / known.sum(0).clamp(min=1)
        return torch.where(known, features, mean.expand_as(features))


class Outliers(nn.Module):
    """Counts the rows with a feature above 7 in a buffer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.count += (x > 7).sum()
        return self.linear(x)


def data_with(*, zeros_in):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((ROWS, 4)) + 3
    y = x @ [1.0, -2.0, 0.5, 1.0] + 5
    {"features": x, "targets": y}[zeros_in][MISSING] = 0
    x[5000] = 9
    return gd.Dataset.from_arrays(x, y, dtype=torch.float64)


def build(engine, model, loss, data, loader):
    run = gd.Problem(gd.Objective(model, loss), gd.GD(model.parameters(), 0.005), gd.Constant(), 0)
    return gd.build_engine(engine, [run], data, loader, epochs=1)


@pytest.mark.parametrize("loader", [gd.PerSample(ROWS), gd.FullBatch(ROWS)])
def test_a_kernel_is_compared_at_every_target(loader):
    data = data_with(zeros_in="targets")
    with pytest.raises(gd.CannotExecute, match=r"differs|another"):
        build("linear", gd.Linear(4).double(), Sentinel(), data, loader)
    assert isinstance(
        build("linear", gd.Linear(4).double(), Complete(), data, loader), gd.ENGINES.get("linear")
    )


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_a_design_is_compared_on_all_rows(engine):
    data = data_with(zeros_in="features")
    loader = gd.MiniBatch(ROWS, 8) if engine == "linear" else gd.FullBatch(ROWS)
    with pytest.raises(gd.CannotExecute, match="depends on the other rows"):
        build(engine, Filled().double(), gd.MSE(), data, loader)


@pytest.mark.parametrize("engine", ["compiled", "auto"])
def test_a_buffer_that_rare_rows_change_is_noticed(engine):
    data, loader = data_with(zeros_in="targets"), gd.MiniBatch(ROWS, 8)
    if engine == "auto":
        assert isinstance(build(engine, Outliers().double(), gd.MSE(), data, loader), gd.Eager)
        return
    with pytest.raises(gd.CannotExecute, match="changes its buffer 'count'"):
        build(engine, Outliers().double(), gd.MSE(), data, loader)
