"""A trainer of least squares, for the tests of training."""

from __future__ import annotations

import torch

import gdframe as gd

DATA = gd.Regression(rows=60, features=3, noise=0.5).load(dtype=torch.float64)


def make(
    lr=0.05, *, model=None, loader=None, optimizer="gd", epochs=20, schedule="constant", **more
):
    """Return a trainer in float64 on ``eager`` that no rule ends early; ``more`` changes that."""
    dtype = more.pop("dtype", torch.float64)
    data = more.pop("data", DATA)
    model = model or gd.Linear(data.features).to(dtype)
    rule = gd.OPTIMIZERS.build(optimizer, params=model.parameters(), lr=lr)
    settings = {"engine": "eager", "stopping": gd.Stopping(tolerance=None), **more}
    return gd.Trainer(
        model, gd.MSE(), rule, loader or gd.MiniBatch(data.rows, 7), data, epochs=epochs,
        schedule=gd.SCHEDULES.build(schedule), **settings,
    )  # fmt: skip
