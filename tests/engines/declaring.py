"""Runs whose components declare something, and what engines make of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd

DATA = gd.Regression(rows=40, features=3, noise=0.3).load(dtype=torch.float64)
SINGLE = gd.Regression(rows=40, features=3, noise=0.3).load()
CLASSES = gd.Classification(rows=40, features=3, classes=3).load(dtype=torch.float64)
TWO = gd.Classification(rows=40, features=3, classes=2).load(dtype=torch.float64)


def problem(model=None, *, data=DATA, loss=None, penalty=None, lr=0.05, rule=gd.GD):
    dtype = data.train.features.dtype
    loss = loss or gd.MSE()
    model = (model or gd.Linear(data.features, loss.outputs(data))).to(dtype)
    objective = gd.Objective(model, loss, penalty)
    return gd.Problem(objective, rule(model.parameters(), lr=lr), gd.Constant(), 0)


def build(engine, runs, data=DATA, loader=None, epochs=5):
    loader = loader or gd.FullBatch(data.rows)
    return gd.build_engine(engine, runs, data, loader, epochs=epochs)


def assert_refused(engine, runs, words, data=DATA):
    """Build an engine, which must refuse with these words."""
    with pytest.raises(gd.CannotExecute, match=words):
        build(engine, runs, data)


def assert_follows_eager(engine, make, data=DATA, epochs=5):
    """Compare objectives, gradient norms and parameters after some epochs."""
    results = []
    for name in ("eager", engine):
        built = build(name, make(), data, epochs=epochs)
        built.copy_from_modules()
        for epoch in range(epochs):
            built.advance(epoch, epoch + 1)
        evaluations = built.evaluate("train")
        numbers = [[e.objective, e.gradient_norm] for e in evaluations]
        weights = [built.parameters(i)["weight"].clone() for i in range(len(built.runs))]
        results.append((np.array(numbers), torch.stack(weights).double().numpy()))
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-8)
