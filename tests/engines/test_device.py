"""The choice between CPU and GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.api import composed, plain
from gdframe.config import build as building
from gdframe.config.build import build
from gdframe.engines.device import gpu_is_faster
from gdframe.randomness import gpus


def case(rows, features, model, loader, rule=gd.GD):
    draw = np.random.default_rng(0)
    data = gd.Dataset.from_arrays(
        draw.standard_normal((rows, features)), draw.standard_normal(rows)
    )
    run = gd.Problem(
        gd.Objective(model, gd.MSE()), rule(model.parameters(), lr=0.01), gd.Constant(), 0
    )
    return run, data, loader


@pytest.mark.parametrize(("problem", "engine", "faster"), [
    (case(1000, 20, gd.Linear(20), gd.PerSample(1000)), "auto", False),
    (case(1000, 20, gd.Linear(20), gd.MiniBatch(1000, 32)), "auto", False),
    (case(1000, 20, gd.Linear(20), gd.FullBatch(1000)), "auto", False),
    (case(4096, 200, gd.MLP(200, hidden=[4096, 4096]), gd.MiniBatch(4096, 2048)), "auto", True),
    (case(4096, 200, gd.MLP(200, hidden=[4096, 4096]), gd.MiniBatch(4096, 2048)), "eager", True),
    (case(1000, 20, gd.Linear(20), gd.PerSample(1000)), "linear", False),
])  # fmt: skip
def test_a_gpu_is_chosen_only_where_it_should_be_faster(problem, engine, faster):
    run, data, loader = problem
    assert gpu_is_faster(run, data, loader, epochs=10, engine=engine) == faster


def test_auto_leaves_a_linear_model_on_the_cpu(monkeypatch):
    monkeypatch.setattr(building, "pick_device", lambda name: "cuda" if name == "auto" else name)
    config = plain(composed(["variant=sgd", "device=auto", "lr=0.01"]))
    assert build(config).data.train.features.device.type == "cpu"


def test_generators_of_other_gpus_are_not_seeded():
    assert gpus("cpu") == []
    assert gpus("cuda:1") == [1]


def test_a_model_with_two_types_runs_on_the_plain_loop():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)
            self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x):
            return self.layer(x) * self.scale.to(x.dtype)

    run, data, loader = case(20, 3, Mixed(), gd.MiniBatch(20, 5))
    assert isinstance(gd.build_engine("auto", [run], data, loader, epochs=2), gd.Eager)
