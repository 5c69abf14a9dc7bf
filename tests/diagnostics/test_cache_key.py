"""Cached results belong to the settings and the rows that they were computed from."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.data.rows import Rows
from gdframe.diagnostics.cache_key import RowsCache, settings_key
from gdframe.diagnostics.least_squares import least_squares
from gdframe.objective import Objective


class Slotted(gd.MSE):
    __slots__ = ("power",)

    def __init__(self, power):
        super().__init__()
        self.power = power


class Weighted(nn.Module):
    def __init__(self, weights, **settings):
        super().__init__()
        self.inner = nn.Linear(2, 1)
        self.weights = torch.tensor(weights)
        self.settings = settings


def frozen():
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    return model


DIFFERENT = [
    (gd.Quadratic(condition_number=10.0), gd.Quadratic(condition_number=1000.0)),
    (gd.Polynomial(3, degree=2), gd.Polynomial(3, degree=3, interactions=False)),
    (nn.Sequential(nn.LeakyReLU(0.1)), nn.Sequential(nn.LeakyReLU(0.2))),
    (gd.MLP(2, hidden=[3], activation="tanh"), gd.MLP(2, hidden=[3], activation="relu")),
    (nn.Linear(2, 1), nn.Linear(2, 1).double()),
    (nn.Linear(2, 1), nn.Linear(2, 1, bias=False)),
    (nn.Linear(2, 1), frozen()),
    (gd.Huber(delta=1.0), gd.Huber(delta=2.0)),
    (gd.L2(strength=0.1), gd.L2(strength=0.1, biases=True)),
    (gd.L2(strength=0.1), gd.L1(strength=0.1)),
    (None, gd.MSE()),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_components_with_other_settings_have_other_keys(first, second):
    keys = [settings_key(first), settings_key(second)]
    assert None not in keys
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: gd.Quadratic(condition_number=10.0),
        lambda: gd.Polynomial(3, degree=2),
        lambda: gd.ElasticNet(strength=0.1, ratio=0.5),
    ],
)
def test_components_with_equal_settings_share_a_key(make):
    key = settings_key(make())
    assert key is not None
    assert hash(key) == hash(settings_key(make()))
    assert key == settings_key(make())


def hooked():
    model = gd.Linear(2)
    model.register_forward_hook(lambda *_: None)
    return model


def patched():
    model = gd.Linear(2)
    model.design = lambda x: 2 * x
    return model


@pytest.mark.parametrize("make", [hooked, patched, lambda: Weighted([1.0]), lambda: Slotted(2)])
def test_components_of_unknown_content_have_no_key(make):
    assert settings_key(make()) is None


def lambda_max(model, data, loss):
    trainer = gd.Trainer(
        model, loss, gd.GD(model.parameters(), lr=1e-6), gd.FullBatch(data.rows), data,
        epochs=1, diagnosis=gd.Diagnostics(),
    )  # fmt: skip
    return trainer.fit().diagnostics["lambda_max"]


def test_functions_of_other_settings_have_their_own_curvature():
    data = gd.Dataset.none()
    for condition_number in (10.0, 1000.0, 10.0):
        model = gd.Quadratic(condition_number=condition_number)
        trainer = gd.Trainer(
            model, None, gd.GD(model.parameters(), lr=1.0), gd.FullBatch(1), data,
            epochs=100, diagnosis=gd.Diagnostics(),
        )  # fmt: skip
        assert f"the stability limit {2 / condition_number:g} " in trainer.fit().reason


def regression(dtype=torch.float64):
    draw = np.random.default_rng(0)
    return gd.Dataset.from_arrays(
        draw.normal(size=(40, 3)), draw.normal(size=40), dtype=dtype
    )  # fmt: skip


def test_polynomials_of_as_many_terms_have_their_own_least_squares():
    data = regression()
    models = [gd.Polynomial(3, degree=2), gd.Polynomial(3, degree=3, interactions=False)]
    assert models[0].weight.shape == models[1].weight.shape
    for model in models:
        objective = Objective(model.double(), gd.MSE())
        x = np.column_stack([model.design(data.train.features), np.ones(40)])
        y = objective.encode(data.train).targets.numpy()
        (_, (squared,), *_) = np.linalg.lstsq(x, y)
        assert least_squares(objective, data).minimum == pytest.approx(squared / 40)


def test_other_targets_and_changed_rows_have_their_own_results():
    data = regression()
    objective = Objective(gd.Linear(3).double(), gd.MSE())
    first = least_squares(objective, data)
    assert least_squares(objective, data) is first
    rows = Rows(data.train.features, 2 * data.train.targets)
    other = gd.Dataset(rows, None, data.encoding, data.task)
    assert least_squares(objective, other).minimum == pytest.approx(4 * first.minimum)
    data.train.features.mul_(3.0)
    assert least_squares(objective, data).largest == pytest.approx(9 * first.largest, rel=0.2)


def test_a_frozen_parameter_makes_no_least_squares():
    model = gd.Linear(3).double()
    model.bias.requires_grad_(False)
    assert least_squares(Objective(model, gd.MSE()), regression()) is None


@pytest.mark.parametrize("model", [gd.Linear, gd.Polynomial])
def test_data_are_freed_although_results_were_cached(model):
    data = regression(torch.float32)
    assert lambda_max(model(3), data, gd.MSE()) > 0  # by least squares
    assert lambda_max(model(3), data, gd.Huber()) > 0
    features = weakref.ref(data.train.features)
    del data
    gc.collect()
    assert features() is None


def test_results_of_freed_rows_are_freed_and_the_oldest_gives_way():
    cache = RowsCache[int](2)
    rows = [Rows(torch.zeros(1, 1), torch.zeros(1, 1)) for _ in range(2)]
    assert [cache.get(rows[0], [key], lambda k=key: k) for key in (1, 2, 3, 3)] == [1, 2, 3, 3]
    assert len(cache) == 2
    assert cache.get(rows[0], [1], lambda: 10) == 10  # it had given way
    assert cache.get(rows[1], [1, None], lambda: 4) == 4
    assert cache.get(rows[1], [1, None], lambda: 5) == 5  # nothing is stored without a key
    rows.clear()
    assert len(cache) == 0
