"""Rules, models and loaders as researchers write them, on every engine.

Each engine equals the plain loop, or refuses with a reason; it never differs silently. A sample
runs with the other tests; ``python -m pytest -m slow tests/engines/test_written.py`` runs the rest.
"""

from __future__ import annotations

import pytest
import torch
from thinned import thinned

import gdframe as gd

from .against_eager import (
    DATA,
    Outcome,
    against_eager,
    linear,
    loader_compiled,
    loader_of,
    model_compiled,
    rule_compiled,
    runs_of,
    trained,
)
from .problems import in_new_process
from .written.loaders import LOADERS, REFUSED
from .written.models import LINEAR, MODELS
from .written.rules import ELEMENTWISE, RULES

# rules

PLACES = [("linear", "mini_batch"), ("linear", "per_sample"), ("gram", "full_batch")]


@pytest.mark.parametrize(
    ("name", "engine", "loader", "runs"),
    thinned([(name, *place, runs) for name in RULES for place in PLACES for runs in (1, 7)], 29),
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


UNSEEN = {"iterates outside", "counts in the globals"}
"""Rules whose memory this test cannot restore between two engines."""


@pytest.mark.parametrize("name", thinned([(name,) for name in sorted(RULES.keys() - UNSEEN)], 8))
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
    assert not in_new_process(rule_compiled, name, runs).problem


SAMPLE = ["keeps what it moves in place", "starts at random"]


@pytest.mark.parametrize("name", thinned(SAMPLE, 2))
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
    thinned(
        [(name, *place, runs) for name in sorted(LINEAR) for place in PLACES for runs in (1, 7)], 11
    ),
)
def test_a_linear_model_is_computed_as_written_or_refused(name, engine, loader, runs):
    make = MODELS[name]
    outcome = against_eager(
        engine, lambda: runs_of(gd.Momentum, make, runs, torch.float64), loader_of(loader),
        {"model": make(0)},
    )  # fmt: skip
    assert not outcome.problem


@pytest.mark.parametrize("name", thinned([(name,) for name in MODELS], 6))
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
    assert not in_new_process(model_compiled, name, runs).problem


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
    ("caches what it saw first", "its model.cache"),
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
    thinned(
        [(n, e, r) for n in LOADERS for e in ("linear", "gram", "auto") for r in (1, 7, 17)], 20
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
    assert in_new_process(loader_compiled, name, runs) == Outcome(None)
