"""Metrics of a loss that encodes its targets compare values with values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fitted import X, data_of

import gdframe as gd


class LogMSE(gd.MSE):
    def encode(self, targets, dtype):
        return targets.log().to(dtype)

    def predict(self, outputs):
        return outputs.exp()


class Scaled(gd.MSE):
    def encode(self, targets, dtype):
        return (targets / 10).to(dtype)

    def predict(self, outputs):
        return 10 * outputs


class Median(gd.Metric):
    """The median error, on all rows at once."""

    task = "regression"

    def __call__(self, predicted, targets):
        return (predicted - targets).abs().median()


@pytest.mark.parametrize("engine", ["eager", "linear", "gram"])
@pytest.mark.parametrize("loss", [LogMSE, Scaled])
def test_metrics_compare_values_with_values(engine, loss):
    data = data_of(np.exp(X @ [0.1, 0.2, 0.3] + 1))
    model = gd.Linear(3).double()
    metrics = [*map(gd.METRICS.build, ["r2", "rmse", "mae"]), Median()]
    result = gd.Trainer(
        model, loss(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
        epochs=5, engine=engine, metrics=metrics,
    ).fit()  # fmt: skip
    for part, rows in (("train", data.train), ("validation", data.validation)):
        with torch.no_grad():
            error = loss().predict(result.module(rows.features)) - rows.targets
        metrics = result.metrics[part]
        spread = rows.targets - rows.targets.mean()
        expected = 1 - float(error.square().sum() / spread.square().sum())
        assert metrics["r2"] == pytest.approx(expected, rel=1e-9)
        assert metrics["rmse"] == pytest.approx(float(error.square().mean().sqrt()), rel=1e-9)
        assert metrics["mae"] == pytest.approx(float(error.abs().mean()), rel=1e-9)
        assert metrics["Median"] == pytest.approx(float(error.abs().median()), rel=1e-9)
