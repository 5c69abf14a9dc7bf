"""Rules from a grammar, on every engine: each is computed as it is written, or refused.

A few run with the other tests; ``python -m pytest -m slow tests/engines/test_grammar.py`` runs
many.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .against_eager import against_eager, linear, loader_of, runs_of
from .written import grammar

RULES = {
    "text": grammar.rules(),
    "runs": st.sampled_from([1, 3]),
    "engine": st.sampled_from(
        [("linear", "mini_batch"), ("linear", "per_sample"), ("gram", "full_batch")]
    ),
    "dtype": st.sampled_from([torch.float32, torch.float64]),
}


def assert_computed_or_refused(text, runs, engine, dtype):
    """Compare an engine with the plain loop for the rule of a text."""
    rule = grammar.compiled(text)
    outcome = against_eager(
        engine[0], lambda: runs_of(rule, linear, runs, dtype), loader_of(engine[1]), {}, dtype
    )
    assert not outcome.problem


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(**RULES)
def test_a_rule_is_computed_as_written_or_refused(text, runs, engine, dtype):
    assert_computed_or_refused(text, runs, engine, dtype)


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(**RULES)
def test_many_rules_are_computed_as_written_or_refused(text, runs, engine, dtype):
    assert_computed_or_refused(text, runs, engine, dtype)
