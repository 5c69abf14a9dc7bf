"""Measures the growth of a step's cost with N, d, the batch size and R, over two decades each."""

from __future__ import annotations

import statistics
import time

import numpy as np

SWEEPS = {
    "N (full batch, logistic, d = 20; a step)": ("rows", (1_000, 10_000, 100_000)),
    "d (per-sample, linear MSE; an update)": ("features", (4, 40, 400)),
    "batch size (linear MSE, d = 20; an update)": ("batch", (8, 80, 800)),
    "R (per-sample, linear MSE, d = 20; an update of all runs)": ("runs", (16, 160, 1_600)),
}


def measure() -> dict[str, tuple[tuple[int, ...], list[float], float]]:
    """Return, by what grows, its values, the seconds of a step at each, and the exponent."""
    return {name: _sweep(axis, values) for name, (axis, values) in SWEEPS.items()}


def _sweep(axis: str, values: tuple[int, ...]) -> tuple[tuple[int, ...], list[float], float]:
    seconds = [_step_seconds(**{axis: value}) for value in values]
    slope = np.polyfit(np.log(values), np.log(seconds), 1)[0]
    return values, seconds, float(slope)


def _step_seconds(*, rows: int = 0, features: int = 20, batch: int = 1, runs: int = 1) -> float:
    import torch

    import gdframe as gd

    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    size = rows or 4_000
    x = draw.standard_normal((size, features), dtype=np.float32)
    y = x[:, 0] if not rows else (x[:, 0] > 0).astype(np.int64)
    data = gd.Dataset.from_arrays(x, y)
    loader = gd.FullBatch(size) if rows else gd.MiniBatch(size, batch)
    made = []
    for _ in range(runs):
        model = gd.Linear(features)
        loss = gd.BinaryCrossEntropy() if rows else gd.MSE()
        rule = gd.GD(model.parameters(), lr=1e-4)
        made.append(gd.Problem(gd.Objective(model, loss), rule, gd.Constant(), 0))
    engine = gd.LinearLoops(made, data, loader, epochs=1_000_000)
    samples, steps, first = [], engine.clock.steps_per_epoch, 0
    while len(samples) < 5 or (sum(samples) < 0.5 and len(samples) < 500):
        begun = time.perf_counter()
        engine.advance(first, first + steps)
        samples.append(time.perf_counter() - begun)
        first += steps
    return statistics.median(samples) / steps
