"""Rules, models and loaders as researchers write them, on every engine.

Each engine equals the plain loop, or refuses with a reason; it never differs silently. A sample
runs with the other tests; ``python -m pytest -m slow tests/engines/test_written.py`` runs the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gdframe as gd
from gdframe.hidden_state import HiddenState

from .problems import apart
from .written import grammar
from .written.loaders import LOADERS, REFUSED
from .written.models import LINEAR, MODELS
from .written.rules import ELEMENTWISE, RULES

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
    built.take_up()
    length = loader.steps_per_epoch
    traces = [built.advance(i * length, (i + 1) * length) for i in range(EPOCHS)]
    ends = [built.evaluate("train"), built.evaluate("validation")]
    for run in range(len(runs)):
        built.settle(run)
    results = {
        "loss": np.concatenate([t.loss for t in traces], axis=1),
        "norm": np.concatenate([t.gradient_norm for t in traces], axis=1),
        "objective": np.array([[e.objective for e in part] for part in ends]),
    }
    for index, run in enumerate(runs):
        state = built.state(index)
        results |= {f"{index} {name}": value.double().numpy() for name, value in state.items()}
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


def sampled(cells: list[tuple[Any, ...]], every: int) -> list[Any]:
    """Return all cells; cells outside the sample are marked slow."""
    return [
        pytest.param(*cell, marks=() if i % every == 0 else pytest.mark.slow)
        for i, cell in enumerate(cells)
    ]


# rules

PLACES = [("linear", "mini_batch"), ("linear", "per_sample"), ("gram", "full_batch")]


@pytest.mark.parametrize(
    ("name", "engine", "loader", "runs"),
    sampled([(name, *place, runs) for name in RULES for place in PLACES for runs in (1, 7)], 8),
)
def test_a_rule_is_computed_as_written_or_refused(name, engine, loader, runs):
    rule = RULES[name]
    dtype = torch.float32 if len(name) % 3 == 0 else torch.float64
    outcome = against_eager(
        engine, lambda: runs_of(rule, linear, runs, dtype), loader_of(loader), {"rule": rule}, dtype
    )
    assert not outcome.problem
    if name in ELEMENTWISE and engine == "linear":
        assert outcome.reason is None


@pytest.mark.parametrize(
    "name", sampled([(name,) for name in sorted(RULES.keys() - {"iterates outside"})], 4)
)
def test_trial_calls_by_auto_change_no_rule(name):
    rule = RULES[name]
    outcome = against_eager(
        "auto", lambda: runs_of(rule, linear, 1, torch.float64), loader_of("mini_batch"),
        {"rule": rule},
    )  # fmt: skip
    assert not outcome.problem


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 7])
@pytest.mark.parametrize("name", RULES)
def test_a_compiled_rule_is_computed_as_written_or_refused(name, runs):
    assert not apart(rule_compiled, name, runs).problem


SAMPLE = ["keeps what it moves in place", "starts at random"]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_rule_is_computed_as_written_when_compiled(name):
    assert rule_compiled(name, 3) == Outcome(None)


@pytest.mark.parametrize("name", [
    "counts in a closure", "remembers in a default argument", "iterates outside", "draws",
    "draws by Python", "draws from its own generator", "draws by numpy", "counts on the class",
    "makes state late", "grows its state", "counts in Python",
])  # fmt: skip
def test_compiled_refuses_rules_that_depend_on_more_than_their_arguments(name):
    (run,) = runs_of(RULES[name], MODELS["plain"], 1, torch.float64)
    reason = gd.Compiled.why_not([run], DATA, loader_of("mini_batch"))
    assert reason is not None
    assert RULES[name].__name__ in reason or "optimizer" in reason


# models


@pytest.mark.parametrize(
    ("name", "engine", "loader", "runs"),
    sampled(
        [(name, *place, runs) for name in sorted(LINEAR) for place in PLACES for runs in (1, 7)], 5
    ),
)
def test_a_linear_model_is_computed_as_written_or_refused(name, engine, loader, runs):
    make = MODELS[name]
    outcome = against_eager(
        engine, lambda: runs_of(gd.Momentum, make, runs, torch.float64), loader_of(loader),
        {"model": make(0)},
    )  # fmt: skip
    assert not outcome.problem


@pytest.mark.parametrize("name", sampled([(name,) for name in MODELS], 3))
def test_trial_calls_by_auto_change_no_model(name):
    make = MODELS[name]
    outcome = against_eager(
        "auto", lambda: runs_of(gd.Momentum, make, 1, torch.float64), loader_of("mini_batch"),
        {"model": make(0)},
    )  # fmt: skip
    assert not outcome.problem


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 7])
@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_model_is_computed_as_written_or_refused(name, runs):
    assert not apart(model_compiled, name, runs).problem


@pytest.mark.parametrize("name", ["frozen layer"])
def test_a_model_is_computed_as_written_when_compiled(name):
    assert model_compiled(name, 1) == Outcome(None)


@pytest.mark.parametrize(("name", "words"), [
    ("another function in each run", "differ in their model (act)"),
    ("another closure in each run", "differ in their model (act)"),
    ("another list in each run", "differ in their model (scales[1])"),
    ("another tensor in each run", "differ in their model (scales[0])"),
    ("another array in each run", "differ in their model (scales[1])"),
    ("another object in each run", "differ in their model (settings.gain)"),
    ("another setting of a layer in each run", "differ in their model (1.negative_slope)"),
    ("another buffer in each run", "differ in their model (shift)"),
])  # fmt: skip
def test_runs_of_different_models_cannot_form_a_group(name, words):
    runs = runs_of(gd.GD, MODELS[name], 2, torch.float64)
    assert words in gd.Compiled.why_not(runs, DATA, loader_of("mini_batch"))


@pytest.mark.parametrize(("name", "words"), [
    ("batch norm", "changes its buffer '1.running_mean' (BatchNorm1d)"),
    ("dropout", "draws random numbers in training in '1' (Dropout)"),
    ("draws in evaluation", "draws random numbers in evaluation"),
    ("counts its calls", "its model.calls changes"),
    ("caches what it saw first", "its model.kept"),
    ("appends to a global", "SEEN changes"),
    ("clamps its weights", "its model.outer.weight changes"),
    ("a layer without use", "a parameter without a gradient, 'spare.weight'"),
    ("draws from its own generator", "its model.generator changes"),
])  # fmt: skip
def test_a_refusal_names_the_part_of_the_model(name, words):
    (run,) = runs_of(gd.GD, MODELS[name], 1, torch.float64)
    assert words in gd.Compiled.why_not([run], DATA, loader_of("mini_batch"))


# loaders


@pytest.mark.parametrize(
    ("name", "engine", "runs"),
    sampled(
        [(n, e, r) for n in LOADERS for e in ("linear", "gram", "auto") for r in (1, 7, 17)], 4
    ),
)
def test_a_loader_is_followed_as_written_or_refused(name, engine, runs):
    loader = LOADERS[name](DATA.rows)

    def make() -> list[gd.Problem]:
        return runs_of(gd.Momentum, linear, runs, torch.float64)

    if name in REFUSED:
        for any_engine in ("eager", engine):
            with pytest.raises(gd.UserError, match=rf"{type(loader).__name__}\.|needs all rows"):
                trained(any_engine, make(), DATA, loader)
    else:
        outcome = against_eager(engine, make, loader, {})
        assert not outcome.problem
        assert outcome.reason is None or engine in ("gram", "auto")


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 7])
@pytest.mark.parametrize("name", sorted(LOADERS.keys() - REFUSED))
def test_a_loader_is_followed_as_written_when_compiled(name, runs):
    assert apart(loader_compiled, name, runs) == Outcome(None)


# rules from a grammar


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(text=grammar.rules(), runs=st.sampled_from([1, 3]),
       engine=st.sampled_from([("linear", "mini_batch"), ("linear", "per_sample"),
                               ("gram", "full_batch")]),
       dtype=st.sampled_from([torch.float32, torch.float64]))  # fmt: skip
def test_a_rule_from_the_grammar_is_computed_as_written_or_refused(text, runs, engine, dtype):
    rule = grammar.compiled(text)
    outcome = against_eager(
        engine[0], lambda: runs_of(rule, linear, runs, dtype), loader_of(engine[1]), {}, dtype
    )
    assert not outcome.problem


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(text=grammar.rules(), runs=st.sampled_from([1, 3]),
       engine=st.sampled_from([("linear", "mini_batch"), ("linear", "per_sample"),
                               ("gram", "full_batch")]),
       dtype=st.sampled_from([torch.float32, torch.float64]))  # fmt: skip
def test_many_rules_from_the_grammar_are_computed_as_written_or_refused(text, runs, engine, dtype):
    rule = grammar.compiled(text)
    outcome = against_eager(
        engine[0], lambda: runs_of(rule, linear, runs, dtype), loader_of(engine[1]), {}, dtype
    )
    assert not outcome.problem
