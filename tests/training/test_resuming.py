"""A run that is captured, and restored in another trainer, goes on bit for bit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from trainers import make

import gdframe as gd

CUTS = [
    *product(["eager"], gd.OPTIMIZERS, ["full_batch", "per_sample", "mini_batch"], ["cosine"]),
    *product(["linear"], ["adam", "momentum"], ["full_batch", "per_sample", "mini_batch"],
             ["warmup"]),
    *product(["gram"], gd.OPTIMIZERS, ["full_batch"], ["cosine"]),
    ("compiled", "adam", "mini_batch", "cosine"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "engine", "optimizer", "loader", "schedule"),
    [pytest.param(dtype, *cut, marks=() if (number + first) % 3 == 1 else pytest.mark.slow)
     for first, dtype in enumerate([torch.float32, torch.float64])
     for number, cut in enumerate(CUTS) if dtype == torch.float32 or cut[0] != "compiled"],
)  # fmt: skip
def test_a_run_cut_anywhere_goes_on_bit_for_bit(engine, optimizer, loader, schedule, dtype):
    data = gd.Regression(rows=60, features=3, noise=0.5).load(dtype=dtype)
    loader = gd.LOADERS.build(loader, rows=data.rows, batch_size=7)
    settings = {"dtype": dtype, "data": data, "optimizer": optimizer, "loader": loader}
    settings |= {"schedule": schedule, "epochs": 4, "lr": 0.02, "engine": engine}
    whole = make(**settings)
    result = whole.fit()

    class Cut(gd.Observer):
        def on_block(self, run, steps):
            captures.append(run.capture())

    captures: list = []
    make(**settings, observers=[Cut()]).fit()
    for capture in (captures[0], captures[len(captures) // 2], captures[-1]):
        resumed = make(**settings)
        resumed.run.restore(capture)
        again = resumed.fit()
        for name, values in whole.run.parameters().items():
            assert torch.equal(values, resumed.run.parameters()[name])
        assert again.objective == result.objective
        assert again.steps == result.steps
        for column, values in result.history.epochs.items():
            if column != "seconds":
                assert np.array_equal(values, again.history[column]), column
        for column, values in result.history.steps.items():
            assert np.array_equal(values, again.history.steps[column]), column


def test_an_observer_gets_its_state_back_amid_and_after_an_epoch():
    class Counts(gd.Observer):
        def __init__(self):
            self.blocks, self.epochs = 0, 0
            self.states: list = []
            self.loaded: dict = {}

        def on_block(self, run, steps):
            self.blocks += 1
            captures.append(run.capture())
            self.states.append((self.blocks, self.epochs))

        def on_epoch(self, run):
            self.epochs += 1
            captures.append(run.capture())
            self.states.append((self.blocks, self.epochs))

        def state(self):
            return {"counts": torch.tensor([self.blocks, self.epochs])}

        def load_state(self, state):
            self.loaded = dict(state)

    captures: list = []
    first = Counts()
    make(epochs=3, observers=[first]).fit()
    assert first.loaded == {}
    assert {epochs for _, epochs in first.states} == {0, 1, 2, 3}
    for capture, state in zip(list(captures), first.states, strict=True):
        again = Counts()
        resumed = make(epochs=4, observers=[again])
        resumed.run.restore(capture)
        resumed.fit()
        assert again.loaded["counts"].tolist() == list(state)
