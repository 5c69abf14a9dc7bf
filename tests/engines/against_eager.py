"""Trains runs on an engine and on the plain loop, and compares everything that they leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import gdframe as gd
from gdframe.hidden_state import HiddenState

from .written.loaders import LOADERS
from .written.models import MODELS
from .written.rules import RULES

EPOCHS = 4
DATA = gd.Regression(rows=23, features=3, validation=0.2).load(dtype=torch.float64)
TOLERANCE = {torch.float64: 1e-8, torch.float32: 2e-3}


def runs_of(
    rule: Callable[..., Any], make: Callable[[int], Any], count: int, dtype: torch.dtype
) -> list[gd.Problem]:
    """Return runs that differ in start, learning rate, numeric settings and seed."""
    runs = []
    for index in range(count):
        with gd.seeded(index, gd.Purpose.INITIALIZE):
            model = make(index).to(dtype)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += 0.1 * torch.randn_like(parameter)
        optimizer = rule(
            [p for p in model.parameters() if p.requires_grad], 0.01 * (1 + 0.1 * index)
        )
        group = optimizer.param_groups[0]
        for name, value in list(group.items()):
            if isinstance(value, float) and name != "lr":
                group[name] = value * (1 - 0.02 * index)
        objective = gd.Objective(model, gd.MSE())
        runs.append(gd.Problem(objective, optimizer, gd.Constant(), index % 3))
    return runs


def trained(
    engine: str, runs: list[gd.Problem], data: gd.Dataset, loader: gd.Loader
) -> tuple[gd.Engine, dict[str, np.ndarray]]:
    """Train; return the engine, and its traces, evaluations and final states by name."""
    built = gd.build_engine(engine, runs, data, loader, epochs=EPOCHS)
    built.copy_from_modules()
    length = loader.steps_per_epoch
    traces = [built.advance(i * length, (i + 1) * length) for i in range(EPOCHS)]
    ends = [built.evaluate("train"), built.evaluate("validation")]
    for run in range(len(runs)):
        built.copy_to_module(run)
    results = {
        "loss": np.concatenate([t.loss for t in traces], axis=1),
        "norm": np.concatenate([t.gradient_norm for t in traces], axis=1),
        "objective": np.array([[e.objective for e in part] for part in ends]),
    }
    for index, run in enumerate(runs):
        state = built.state(index)
        for name, value in state.items():
            real = torch.view_as_real(value) if value.is_complex() else value
            results[f"{index} {name}"] = real.double().numpy()
        for name, p in run.objective.model.named_parameters():
            results[f"{index} module {name}"] = p.detach().double().numpy()
    return built, results


class Outcome(NamedTuple):
    """The comparison of an engine with the plain loop."""

    reason: str | None
    """Why the engine refuses, or why ``auto`` selects the plain loop; or None."""

    problem: str = ""
    """The first value that differs, or the state that trial calls changed; empty where none is."""


def difference(
    results: dict[str, np.ndarray], expected: dict[str, np.ndarray], dtype: torch.dtype
) -> str:
    """Return the first of the values that differs, with its largest difference; or nothing."""
    if results.keys() != expected.keys():
        return f"values of {sorted(results)}, expected of {sorted(expected)}"
    for name, value in expected.items():
        bound = TOLERANCE[dtype] * np.abs(value[np.isfinite(value)]).max(initial=1e-3)
        if results[name].shape != value.shape or not np.allclose(
            results[name], value, rtol=0, atol=bound, equal_nan=True
        ):
            return f"{name}: {results[name]}, expected {value} within {bound:g}"
    return ""


def against_eager(
    engine: str,
    make_runs: Callable[[], list[gd.Problem]],
    loader: gd.Loader,
    hidden: dict[str, Any],
    dtype: torch.dtype = torch.float64,
) -> Outcome:
    """Train on an engine and on the plain loop, and compare."""
    data = DATA if dtype == torch.float64 else as_single(DATA)
    with HiddenState(hidden):
        _, expected = trained("eager", make_runs(), data, loader)
    with HiddenState(hidden) as saved:
        try:
            built, results = trained(engine, make_runs(), data, loader)
        except gd.CannotExecute as error:
            if place := saved.changed():
                return Outcome(error.reason, f"trial calls changed {place}")
            return Outcome(error.reason, "" if error.reason else "it refuses without a reason")
    reason = built.reason if isinstance(built, gd.Eager) else None
    return Outcome(reason, difference(results, expected, dtype))


def as_single(data: gd.Dataset) -> gd.Dataset:
    parts = [
        gd.Rows(rows.features.float(), rows.targets.float())
        for rows in (data.train, data.validation)
    ]
    return gd.Dataset(*parts, data.encoding, data.task)


def loader_of(name: str) -> gd.Loader:
    size = {"full_batch": DATA.rows, "per_sample": 1, "mini_batch": 5}[name]
    return gd.LOADERS.build(name, rows=DATA.rows, batch_size=size)


def linear(run: int) -> gd.Linear:
    return gd.Linear(3)


def rule_compiled(name: str, runs: int) -> Outcome:
    rule = RULES[name]
    return against_eager(
        "compiled", lambda: runs_of(rule, MODELS["plain"], runs, torch.float64),
        loader_of("mini_batch"), {"rule": rule},
    )  # fmt: skip


def model_compiled(name: str, runs: int) -> Outcome:
    make = MODELS[name]
    return against_eager(
        "compiled", lambda: runs_of(gd.Momentum, make, runs, torch.float64),
        loader_of("mini_batch"), {"model": make(0)},
    )  # fmt: skip


def loader_compiled(name: str, runs: int) -> Outcome:
    return against_eager(
        "compiled", lambda: runs_of(gd.Momentum, MODELS["plain"], runs, torch.float64),
        LOADERS[name](DATA.rows), {},
    )  # fmt: skip
