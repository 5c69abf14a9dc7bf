"""The choice between CPU and GPU, and training on a GPU."""

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
from gdframe.randomness import gpus, seeded


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


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_seeding_a_gpu_restores_its_generator():
    before = torch.cuda.get_rng_state()
    with seeded(0, gd.Purpose.MODEL, device="cuda"):
        first = torch.rand(3, device="cuda")
    with seeded(0, gd.Purpose.MODEL, device="cuda"):
        assert torch.equal(first, torch.rand(3, device="cuda"))
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("engine", "loader"), [
    ("gram", gd.FullBatch(40)), ("compiled", gd.MiniBatch(40, 8)), ("eager", gd.MiniBatch(40, 8)),
])  # fmt: skip
@pytest.mark.parametrize("runs", [1, 3])
def test_a_users_rule_gives_the_same_result_on_gpu_and_cpu(engine, loader, runs):
    class Decayed(gd.Optimizer):
        @staticmethod
        def init_state(params):
            return {"mean": list(params), "t": gd.counters(params)}

        @staticmethod
        def update(params, grads, state, hyper):
            mean = [0.9 * m + 0.1 * p for m, p in zip(state["mean"], params)]
            new = [p - hyper["lr"] * (g + 0.1 * (p - m)) for p, g, m in zip(params, grads, mean)]
            return new, {"mean": mean, "t": [t + 1 for t in state["t"]]}

    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((40, 3)), draw.standard_normal(40)
    ends = []
    for device in ("cpu", "cuda"):
        data = gd.Dataset.from_arrays(x, y, dtype=torch.float64, device=device)
        problems = []
        for seed in range(runs):
            model = gd.Linear(3).double()
            gd.initialize(model, gd.Normal(), seed=seed)
            model.to(device)
            rule = Decayed(model.parameters(), {"lr": 0.01 * (1 + seed)})
            problems.append(gd.Problem(gd.Objective(model, gd.MSE()), rule, gd.Constant(), seed))
        name = "eager" if device == "cpu" else engine
        built = gd.build_engine(name, problems, data, loader, epochs=3)
        built.copy_from_modules()
        for epoch in range(3):
            length = loader.steps_per_epoch
            built.advance(epoch * length, (epoch + 1) * length)
        for run in range(runs):
            built.copy_to_module(run)
        ends.append([m.objective.model.weight.detach().cpu() for m in problems])
    for expected, actual in zip(*ends, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


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
