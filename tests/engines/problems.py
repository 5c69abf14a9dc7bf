"""Problems for all engines, and the comparison of two engines."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.engines.base import Part
from gdframe.losses import BinaryLoss

PARTS: tuple[Part, ...] = ("train", "validation")

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    engine: str
    loader: str = "mini_batch"
    optimizer: str = "gd"
    loss: str = "mse"
    penalty: str = "none"
    schedule: str = "constant"
    clip: float | None = None
    runs: int = 1
    dtype: torch.dtype = torch.float64
    model: str = "linear"
    rows: int = 23
    features: int = 3
    batch_size: int = 5

    def __str__(self) -> str:
        values = [v for k, v in vars(self).items() if k not in ("rows", "features", "batch_size")]
        return "-".join(str(value).removeprefix("torch.") for value in values)


def data_for(case: Case) -> gd.Dataset:
    loss = gd.LOSSES.build(case.loss)
    sizes = {"rows": case.rows, "features": case.features, "validation": 0.25 * (case.rows > 4)}
    if loss.task == "regression":
        data = gd.Regression(**sizes).load(dtype=case.dtype)
    else:
        classes = 2 if isinstance(loss, BinaryLoss) else 3
        data = gd.Classification(**sizes, classes=classes).load(dtype=case.dtype)
    if case.loss == "poisson":
        data.train.targets.abs_()
        if data.validation is not None:
            data.validation.targets.abs_()
    return data


def runs_for(case: Case, data: gd.Dataset, device: str = "cpu") -> list[gd.Problem]:
    """Return runs that differ in start, learning rate, strength and, if few, in seed."""
    runs = []
    for index in range(case.runs):
        loss = gd.LOSSES.build(case.loss)
        sizes = {"features": data.features, "outputs": loss.outputs(data)}
        settings = {"hidden": [5], "activation": "tanh"} if case.model == "mlp" else {}
        model = gd.MODELS.build(case.model, **sizes, **settings).to(case.dtype)
        gd.initialize(model, gd.Normal(std=0.3), seed=index)
        model.to(device)
        strength = {} if case.penalty == "none" else {"strength": 0.01 * (1 + index)}
        penalty = gd.PENALTIES.build(case.penalty, **strength)
        rate = 0.02 * (1 + 0.1 * index)
        rule = gd.OPTIMIZERS.build(
            case.optimizer, params=model.parameters(), lr=rate, clip_norm=case.clip
        )
        seed = index % 3 if case.runs < 10 else 0
        objective = gd.Objective(model, loss, penalty)
        runs.append(gd.Problem(objective, rule, gd.SCHEDULES.build(case.schedule), seed))
    return runs


def loader_for(case: Case, data: gd.Dataset) -> gd.Loader:
    size = min(case.batch_size, data.rows)
    built: gd.Loader = gd.LOADERS.build(case.loader, rows=data.rows, batch_size=size)
    return built


def train(
    case: Case, engine: str, epochs: int = 20, *, nudge: float = 0.0
) -> tuple[gd.Engine, dict[str, Any]]:
    """Train a case on an engine; return the engine, and its traces and parameters by name.

    Starting values are multiplied by ``1 + nudge``.
    """
    data = data_for(case)
    loader = loader_for(case, data)
    runs = runs_for(case, data)
    with torch.no_grad():
        for parameter in (p for run in runs for p in run.objective.model.parameters()):
            parameter *= 1 + nudge
    built = gd.build_engine(engine, runs, data, loader, epochs=epochs)
    length = loader.steps_per_epoch
    traces = [built.advance(i * length, (i + 1) * length) for i in range(epochs)]
    results = {
        "loss": np.concatenate([trace.loss for trace in traces], axis=1),
        "gradient_norm": np.concatenate([trace.gradient_norm for trace in traces], axis=1),
        **{name: values.numpy() for name, values in stacked(built).items()},
    }
    return built, results


def stacked(engine: gd.Engine) -> dict[str, torch.Tensor]:
    """Return the parameters of all runs, (runs, ...) for each name."""
    runs = [engine.parameters(run) for run in range(len(engine.runs))]
    return {name: torch.stack([run[name] for run in runs]) for name in runs[0]}


def assert_equals_eager(case: Case, epochs: int = 20) -> None:
    """Compare traces, parameters and evaluations of an engine with eager's, to rounding."""
    tolerance = TOLERANCE[case.dtype]
    eager, expected = train(case, "eager", epochs)
    engine, results = train(case, case.engine, epochs)
    assert expected.keys() == results.keys()
    for name, values in expected.items():
        assert np.isfinite(values).all(), name
        assert values.shape == results[name].shape
        off = np.abs(values - results[name]).max(initial=0)
        assert off <= tolerance * np.abs(values).max(initial=0), name
    for part in PARTS:
        if eager.rows[part] is None:
            continue
        for a, b in zip(eager.evaluate(part), engine.evaluate(part), strict=True):
            compare_evaluations(a, b, tolerance)
            assert a.gradient_norm == near(b.gradient_norm, 100 * tolerance)


def compare_evaluations(a: gd.Evaluation, b: gd.Evaluation, tolerance: float) -> None:
    """Compare all of two evaluations but the size of the gradient."""
    assert a.loss == near(b.loss, tolerance)
    assert a.objective == near(b.objective, tolerance)
    assert a.gradient_norms.keys() == b.gradient_norms.keys()
    assert a.metrics.keys() == b.metrics.keys()
    for name, value in a.metrics.items():
        assert value == near(b.metrics[name], tolerance), name


def near(value: float, tolerance: float) -> Any:
    """Return what equals a value to a relative and an absolute tolerance; NaN equals NaN."""
    return pytest.approx(value, rel=10 * tolerance, abs=tolerance, nan_ok=True)


def assert_apart(compare: Callable[[Case], None], cases: list[Case]) -> None:
    """Compare an engine with eager in another process, which frees compiled code at its end.

    Otherwise compiled code is never freed: about 50 MB for each cell of the matrix.
    """
    in_new_process(_assert_all, compare, cases)


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in another process, which frees compiled code at its end."""
    try:
        return _helper().submit(function, *arguments).result()
    except BrokenProcessPool:  # this test fails; the next test gets another process
        _helper.cache_clear()
        raise


def _assert_all(compare: Callable[[Case], None], cases: list[Case]) -> None:
    torch.set_num_threads(1)
    for case in cases:
        compare(case)


@cache
def _helper() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=16)
