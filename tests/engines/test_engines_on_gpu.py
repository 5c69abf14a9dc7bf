"""Training on a GPU: every engine ends where eager ends on the CPU, and waits once a block."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.randomness import seeded

from .problems import TOLERANCE, Case, data_for, loader_for, runs_for, stacked, train

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

EPOCHS = 5

CASES = [
    *(Case("eager", optimizer=name, clip=clip) for name in gd.OPTIMIZERS for clip in (None, 0.5)),
    *(
        Case("gram", "full_batch", optimizer=name, penalty=penalty, runs=runs)
        for name in gd.OPTIMIZERS for penalty in ("none", "l2") for runs in (1, 3)
    ),
    Case("gram", "full_batch", "momentum", schedule="cosine", clip=0.5, runs=3),
    *(
        Case("compiled", optimizer=name, model="mlp", penalty="l2", runs=runs)
        for name in ("gd", "adam") for runs in (1, 3)
    ),
    Case("compiled", "full_batch", "momentum", "cross_entropy", schedule="cosine", runs=3),
    Case("compiled", "per_sample", "rmsprop", "huber", clip=0.5),
    *(
        Case("eager", loader, loss=loss, model="mlp", runs=2)
        for loader in gd.LOADERS for loss in ("mse", "cross_entropy")
    ),
]  # fmt: skip


def on_gpu(case: Case) -> gd.Engine:
    data = data_for(case).on("cuda")
    runs = runs_for(case, data, device="cuda")
    return gd.build_engine(case.engine, runs, data, loader_for(case, data), epochs=EPOCHS)


def advanced(engine: gd.Engine) -> list[gd.Trace]:
    length = engine.loader.steps_per_epoch
    return [engine.advance(i * length, (i + 1) * length) for i in range(EPOCHS)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_gpu_ends_where_the_cpu_ends(case, dtype):
    case = replace(case, dtype=dtype)
    _, expected = train(case, "eager", EPOCHS)
    engine = on_gpu(case)
    assert type(engine) is gd.ENGINES.get(case.engine)
    traces = advanced(engine)
    results = {
        "loss": np.concatenate([trace.loss for trace in traces], axis=1),
        "gradient_norm": np.concatenate([trace.gradient_norm for trace in traces], axis=1),
        **{name: values.cpu().numpy() for name, values in stacked(engine).items()},
    }
    assert results.keys() == expected.keys()
    for name, values in expected.items():
        off = np.abs(values - results[name]).max()
        assert off <= 10 * TOLERANCE[dtype] * np.abs(values).max(), name


@pytest.mark.parametrize("case", [case for case in CASES if case.optimizer == "adam"], ids=str)
def test_a_state_continues_where_it_was_read(case):
    whole = advanced(on_gpu(case))
    first, second = on_gpu(case), on_gpu(case)
    length = first.loader.steps_per_epoch
    first.advance(0, length)
    for run in range(case.runs):
        second.load_state(run, first.state(run))
    loss = second.advance(length, 2 * length).loss
    np.testing.assert_allclose(loss, whole[1].loss, rtol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if case.optimizer == "gd"], ids=str)
def test_steps_do_not_wait_for_the_gpu(case):
    """A block waits when it is built and read, not in each step: as often for many as for few."""
    waits = []
    for batch_size in (5, 5, 1):  # the first engine of a process waits once more
        engine = on_gpu(replace(case, batch_size=batch_size, loader="mini_batch")
                        if case.loader == "mini_batch" else case)  # fmt: skip
        length = engine.loader.steps_per_epoch
        engine.advance(0, length)
        torch.cuda.synchronize()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                engine.advance(length, 2 * length)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchroniz" in str(warning.message) for warning in caught))
    assert 0 < waits[1] == waits[2] < 10


def test_seeding_a_gpu_restores_its_generator():
    before = torch.cuda.get_rng_state()
    with seeded(0, gd.Purpose.MODEL, device="cuda"):
        first = torch.rand(3, device="cuda")
    with seeded(0, gd.Purpose.MODEL, device="cuda"):
        assert torch.equal(first, torch.rand(3, device="cuda"))
    assert torch.equal(torch.cuda.get_rng_state(), before)


class Decayed(gd.Optimizer):
    """A rule with a state that starts as the parameters, and a counter."""

    @staticmethod
    def init_state(params):
        return {"mean": list(params), "t": gd.counters(params)}

    @staticmethod
    def update(params, grads, state, hyper):
        mean = [0.9 * m + 0.1 * p for m, p in zip(state["mean"], params)]
        new = [p - hyper["lr"] * (g + 0.1 * (p - m)) for p, g, m in zip(params, grads, mean)]
        return new, {"mean": mean, "t": [t + 1 for t in state["t"]]}


@pytest.mark.parametrize(("engine", "loader"), [
    ("gram", gd.FullBatch(40)), ("compiled", gd.MiniBatch(40, 8)), ("eager", gd.MiniBatch(40, 8)),
])  # fmt: skip
@pytest.mark.parametrize("runs", [1, 3])
def test_a_users_rule_gives_the_same_result_on_gpu_and_cpu(engine, loader, runs):
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
        built = gd.build_engine(name, problems, data, loader, epochs=EPOCHS)
        built.copy_from_modules()
        advanced(built)
        for run in range(runs):
            built.copy_to_module(run)
        ends.append([m.objective.model.weight.detach().cpu() for m in problems])
    for expected, actual in zip(*ends, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_a_model_that_draws_on_the_gpu_is_a_function_of_the_seed(engine):
    x = np.random.default_rng(0).standard_normal((40, 3))
    data = gd.Dataset.from_arrays(x, x @ [1.0, 2, 3], validation=0.2, device="cuda")
    ends = []
    for seed, noise in ((0, 1), (0, 2), (1, 3)):
        torch.manual_seed(7)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1)).cuda()
        torch.manual_seed(noise)
        result = gd.Trainer(
            model, loss=gd.MSE(), optimizer=gd.GD(model.parameters(), lr=0.01), data=data,
            loader=gd.MiniBatch(data.rows, 8), epochs=3, seed=seed, engine=engine,
        ).fit()  # fmt: skip
        ends.append(result.history["objective"])
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])
