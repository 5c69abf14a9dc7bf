"""Losses and metrics that a shift of the targets would change are refused where it happens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.errors import UserError


class Relative(gd.MSE):
    """Inherits that a shift does not matter, and overrides what that was said of."""

    def __call__(self, outputs, targets):
        return ((outputs - targets) / targets).square().mean()


class Encoding(gd.MSE):
    def encode(self, targets, dtype):
        return targets.log().to(dtype)


class Declared(Relative):
    is_shift_invariant = True


class Own(gd.Loss):
    def __call__(self, outputs, targets):
        return (outputs - targets).abs().mean()


class Spread(gd.Metric):
    task = "regression"

    def __call__(self, predicted, targets):
        return float((predicted - targets).std())


class Share(type(gd.METRICS.build("mae"))):
    def from_sums(self, sums, rows):
        return super().from_sums(sums, rows) / float(rows.targets.mean())


class Invariant(Spread):
    is_shift_invariant = True


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    x = np.random.default_rng(0).normal(size=40)
    path = tmp_path_factory.mktemp("far") / "far.csv"
    path.write_text("\n".join(["x,y", *(f"{a},{1.6e9 + 3 * a}" for a in x.tolist())]) + "\n")
    return gd.Table(path=str(path), target="y").load()


def train(data, loss, metrics=None):
    model = gd.Linear(1)
    optimizer = gd.GD(model.parameters(), lr=0.1)
    return gd.Trainer(
        model, loss, optimizer, gd.FullBatch(data.rows), data, epochs=3, metrics=metrics
    ).fit()


@pytest.mark.parametrize("loss", [Relative(), Encoding(), Own(), gd.Poisson()])
def test_a_loss_that_a_shift_may_change_is_refused(data, loss):
    assert data.encoding.offset
    with pytest.raises(UserError, match=rf"loss {loss.name} depends on .*'y', which is shifted"):
        train(data, loss)


@pytest.mark.parametrize("metric", [Spread(), Share(), gd.METRICS.build("mape")])
def test_a_metric_that_a_shift_may_change_is_refused(data, metric):
    with pytest.raises(UserError, match=r"metric .* depends on .* is_shift_invariant"):
        train(data, gd.MSE(), [metric])


@pytest.mark.parametrize("loss", [gd.MSE(), gd.MAE(), gd.Huber(), Declared()])
def test_what_a_shift_does_not_change_is_trained(data, loss):
    metrics = [Invariant(), *map(gd.METRICS.build, ("r2", "rmse", "mae"))]
    result = train(data, loss, metrics)
    assert np.isfinite(result.metrics["train"]["Invariant"])


def test_declarations_of_gdframe_are_true():
    draw = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(2, 30, 1, generator=draw, dtype=torch.float64)
    for name in gd.LOSSES:
        if gd.LOSSES.get(name).is_shift_invariant:
            loss = gd.LOSSES.build(name)
            assert loss(outputs + 7, targets + 7).item() == pytest.approx(
                loss(outputs, targets).item(), rel=1e-12
            )
    for name in gd.METRICS:
        if gd.METRICS.get(name).is_shift_invariant:
            metric = gd.METRICS.build(name)
            assert metric(outputs + 7, targets + 7) == pytest.approx(metric(outputs, targets))
