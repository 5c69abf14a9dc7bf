"""Data and a rule that reads a global, for tests of what may change while a run trains."""

from __future__ import annotations

import numpy as np
import torch

import gdframe as gd

SETTINGS = {"strength": 0.0}
ROWS = 64


def dataset(rows=ROWS, scale=10.0, **more):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 3))
    y = scale * (x @ [1.0, -1.0, 2.0] + 0.1 * random.normal(size=rows))
    return gd.Dataset.from_arrays(x, y, dtype=torch.float64, **more)


class Decayed(gd.Optimizer):
    def __init__(self, params, lr, *, beta: float = 0.5):
        super().__init__(params, {"lr": lr, "beta": beta})

    @staticmethod
    def update(params, grads, state, hyper):
        rate = hyper["lr"] * (1 - hyper["beta"])
        return [p - rate * (g + SETTINGS["strength"] * p) for p, g in zip(params, grads)], state
