"""Rules that look at a setting as a Python value: its type, its place in a table, its text.

Each way to look is combined with an effect that comes at once and one that comes late, alone and in
groups with different values. An engine equals the plain loop, or refuses.
"""

from __future__ import annotations

import numbers

import pytest
import torch
from counting import Counting
from thinned import thinned

import gdframe as gd

from .against_eager import against_eager, loader_of

VALUES = [0.5, 3, 0.25, 10, 0.9]
"""Of the runs of a group, which differ in their kinds."""


class Marked(float):
    """A number that knows more than its value."""

    mark = 3.0


def by_failing(value):
    try:
        return 5.0 / (value - 3)
    except ZeroDivisionError:
        return 7.0


def by_converting(value):
    try:
        return float(value)
    except Exception:
        return 0.0


def by_matching(value):
    match value:
        case int():
            return 2.0
        case float():
            return 4.0
    return 6.0


LOOKS = {
    "isinstance": lambda value: 2.0 if isinstance(value, int) else 5.0,
    "type": lambda value: 2.0 if type(value) is float else 5.0,
    "number": lambda value: 2.0 if isinstance(value, numbers.Number) else 5.0,
    "table": lambda value: {0.9: 2.0, 3: 4.0}.get(value, 5.0),
    "set": lambda value: 2.0 if value in {0.25, 10} else 5.0,
    "text": lambda value: float(len(str(value))),
    "attribute": lambda value: getattr(value, "mark", 5.0),
    "method": lambda value: 2.0 if hasattr(value, "is_integer") else 5.0,
    "fails": by_failing,
    "converts": by_converting,
    "matches": by_matching,
}

EFFECTS = {
    "at once": lambda look, t: 1.0 / (1.0 + look),
    "late": lambda look, t: 1.0 - 0.9 * (t > 5.0 + look).double(),
    "very late": lambda look, t: 1.0 - 0.9 * (t > 300.0 * look).double(),
}
"""By name, the factor of the learning rate for what a look found and a counter."""


def rule_for(look, effect):
    class Looking(Counting):
        def __init__(self, params, lr, setting=0.5):
            super().__init__(params, {"lr": lr, "setting": setting})

        @staticmethod
        def update(params, grads, state, hyper):
            t = [t + 1 for t in state["t"]]
            factors = [EFFECTS[effect](LOOKS[look](hyper["setting"]), k) for k in t]
            return [p - hyper["lr"] * f * g for p, f, g in zip(params, factors, grads)], {"t": t}

    return Looking


def runs_with(rule, values, start):
    runs = []
    for index, value in enumerate(values):
        model = gd.Linear(3).double()
        gd.initialize(model, gd.Normal(), seed=index)
        optimizer = rule(model.parameters(), 0.01 * (1 + 0.1 * index), value)
        optimizer.state.update({
            p: {"t": torch.tensor(start, dtype=torch.float64)} for p in model.parameters()
        })  # fmt: skip
        objective = gd.Objective(model, gd.MSE())
        runs.append(gd.Problem(objective, optimizer, gd.Constant(), 0))
    return runs


CELLS = [
    (look, effect, engine, loader, values)
    for look in LOOKS
    for effect in EFFECTS
    for engine, loader in (("linear", "mini_batch"), ("gram", "full_batch"))
    for values in ([3], [0.5], [Marked(0.5)], VALUES)
]


@pytest.mark.parametrize(("look", "effect", "engine", "loader", "values"), thinned(CELLS, 27))
def test_a_setting_is_what_it_is_on_the_plain_loop(look, effect, engine, loader, values):
    rule = rule_for(look, effect)
    for start in (0.0, 1000.0):
        outcome = against_eager(
            engine, lambda start=start: runs_with(rule, values, start), loader_of(loader), {}
        )
        assert not outcome.problem
        if len(values) == 1 and engine == "gram":
            assert outcome.reason is None
