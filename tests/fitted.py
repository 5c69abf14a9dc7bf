"""Small data, and a trainer for tests that look at one component."""

from __future__ import annotations

import numpy as np
import torch

import gdframe as gd

X = np.random.default_rng(0).standard_normal((30, 3))


def data_of(targets=None):
    y = X @ [1.0, 2.0, 3.0] if targets is None else targets
    return gd.Dataset.from_arrays(X, y, validation=0.2, dtype=torch.float64)


def fit(model, loss=None, engine="auto", data=None, size=30, **settings):
    data = data or data_of()
    model = model.double()
    loader = gd.MiniBatch(data.rows, min(size, data.rows))
    return gd.Trainer(
        model, loss or gd.MSE(), gd.GD(model.parameters(), lr=0.05), loader, data,
        epochs=4, engine=engine, **settings,
    ).fit()  # fmt: skip


def train_by_hand(model, loss, data, loader, *, lr, epochs):
    """Train a model by the loop that any tutorial shows, on the rows that a loader gives."""
    rule = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        for rows in loader.order(epoch, 0).split(loader.batch_size):
            rule.zero_grad()
            loss(model(data.train.features[rows]), data.train.targets[rows]).backward()
            rule.step()
