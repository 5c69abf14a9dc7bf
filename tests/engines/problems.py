"""Problems for all engines, and the comparison of two engines."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.losses import BinaryLoss

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


def assert_follows_eager(case: Case, epochs: int = 20) -> None:
    """Compare traces, parameters and evaluations of an engine with eager's."""
    tolerance = TOLERANCE[case.dtype]
    if case.optimizer in ADAPTIVE and case.loss in KINKED:
        tolerance = max(tolerance, 1e-8)
    eager, expected = train(case, "eager", epochs)
    engine, results = train(case, case.engine, epochs)
    assert expected.keys() == results.keys()
    exact, loose = None, 1.0
    alive, engine_alive = _before_explosion(expected), _before_explosion(results)
    if (alive != engine_alive).any():  # allowed only where eager itself is not reproducible
        exact = _itself(case, epochs)
        near = _near_itself(expected, exact)
        assert (alive == engine_alive)[near].all()
        alive = alive & engine_alive & near
    for name in expected:
        assert expected[name].shape == results[name].shape
        values, actual = (_calm(name, part[name], alive) for part in (expected, results))
        allowed = tolerance * (np.abs(values).max(initial=0) + 1e-300)
        gaps = np.abs(values - actual)
        if (
            name == "gradient_norm"
            and case.dtype == torch.float32
            and KINKED & {case.loss, case.penalty}
        ):
            gaps = _without_jumps(gaps, values)
        off = gaps.max(initial=0)
        if off > allowed:
            # a rule that divides by small gradients, or a run that does not settle, magnifies
            # rounding: the difference of two eager runs then limits the accuracy of any engine
            exact = exact or _itself(case, epochs)
            allowed = 10 * np.abs(values - _calm(name, exact[name], alive)).max()
            loose = max(loose, float(off) / (tolerance * (float(np.abs(values).max()) + 1e-300)))
        assert off <= allowed, name
    tolerance *= loose
    for part in ("train", "validation"):
        if eager.rows[part] is None:
            continue
        pairs = zip(eager.evaluate(part), engine.evaluate(part), strict=True)
        for a, b in (pair for pair, ended in zip(pairs, alive[:, -1], strict=True) if ended):
            assert a.loss == _near(b.loss, tolerance)
            assert a.objective == _near(b.objective, tolerance)
            assert a.gradient_norms.keys() == b.gradient_norms.keys()
            if case.dtype == torch.float64 or not KINKED & {case.loss, case.penalty}:
                assert a.gradient_norm == _near(b.gradient_norm, 100 * tolerance)
            for name, value in a.metrics.items():
                assert value == _near(b.metrics[name], tolerance), name


def assert_apart(cases: list[Case]) -> None:
    """Compare an engine with eager in another process, which frees compiled code at its end.

    Otherwise compiled code is never freed: about 50 MB for each cell of the matrix.
    """
    apart(_assert_all, cases)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in another process, which frees compiled code at its end."""
    try:
        return _helper().submit(function, *arguments).result()
    except BrokenProcessPool:  # this test fails; the next test gets another process
        _helper.cache_clear()
        raise


def _assert_all(cases: list[Case]) -> None:
    torch.set_num_threads(1)
    for case in cases:
        assert_follows_eager(case)


@cache
def _helper() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=16)


def _itself(case: Case, epochs: int) -> dict[str, Any]:
    """Train on eager with less rounding or, in float64, from a start with other rounding."""
    if case.dtype == torch.float32:
        return train(replace(case, dtype=torch.float64), "eager", epochs)[1]
    return train(case, "eager", epochs, nudge=2.0**-52)[1]


def _near_itself(expected: dict[str, Any], exact: dict[str, Any]) -> np.ndarray:
    """Return the steps (runs, steps) up to which two eager trainings agree within 1 %."""
    gaps = np.abs(expected["loss"] - exact["loss"])
    calm = gaps <= 0.01 * (1 + np.abs(expected["loss"]))
    return np.logical_and.accumulate(calm, axis=1)


ADAPTIVE = {"adagrad", "rmsprop", "adam"}
"""Rules that divide by the size of the gradient. Slopes of kinked losses are multiples of one
number. Their sum is zero in one order and about 1e-17 in another, which such rules turn into 1e-9.
"""

KINKED = {"l1", "elastic_net", "mae", "hinge"}
"""Losses and penalties whose slope jumps. At a weight or an error within rounding of the kink, two
engines may be on different sides of it for one step."""


def _before_explosion(results: dict[str, Any]) -> np.ndarray:
    """Return which steps (runs, steps) come before a run explodes, at the same step on each engine.

    After that step, an exponential magnifies rounding errors without limit.
    """
    calm = (np.abs(results["loss"]) < EXPLODED) & (results["gradient_norm"] < EXPLODED)
    return np.logical_and.accumulate(calm, axis=1)


EXPLODED = 1e6
"""Loss beyond which a run has diverged by the default ``divergence_factor``; starts are near 1."""


def _calm(name: str, values: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Return steps with zeros after an explosion, or parameters of runs without an explosion."""
    traced = name in ("loss", "gradient_norm")
    return np.where(alive, values, 0) if traced else values[alive[:, -1]]


def _without_jumps(gaps: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return gaps with zeros at the few steps where the slope jumped."""
    jumped = (gaps > 1e-4 * norms.max()) & (gaps < 0.2 * norms.max())
    return np.where(jumped, 0.0, gaps) if jumped.mean() <= 0.005 else gaps


def _near(value: float, tolerance: float) -> Any:
    return pytest.approx(value, rel=10 * tolerance, abs=tolerance, nan_ok=True)
