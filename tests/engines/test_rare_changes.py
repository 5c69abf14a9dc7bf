"""Rules and models that keep something at some values alone, or where it is hard to see.

An engine gives what the plain loop gives, or refuses; its trial steps leave nothing behind.
"""

from __future__ import annotations

import functools
import sys
from itertools import product

import numpy as np
import pytest
import torch
from counting import Counting
from thinned import thinned

import gdframe as gd
from gdframe.diagnostics.diagnostics import Diagnostics
from gdframe.hidden_state import HiddenState

from .against_eager import against_eager, linear, loader_of, runs_of


class Memory:
    factor = 1.0


TABLE = {"factor": 1.0}
ITEMS = [1.0]


def in_class():
    Memory.factor *= 0.5
    return Memory.factor


def in_table():
    TABLE["factor"] *= 0.5
    return TABLE["factor"]


def in_items():
    ITEMS.append(ITEMS[-1] * 0.5)
    return ITEMS[-1]


PLACES = {
    "class": (in_class, lambda: Memory.factor),
    "table": (in_table, lambda: TABLE["factor"]),
    "list": (in_items, lambda: ITEMS[-1]),
}
WHEN = {
    "small gradients": lambda grads, t: sum((g * g).sum() for g in grads) < 1e-4,
    "late steps": lambda grads, t: t > 1,
    "very late steps": lambda grads, t: t > 500,
} | {
    f"gradients above {size}": lambda grads, t, size=size: sum((g * g).sum() for g in grads) > size
    for size in (0.3, 1, 3, 10, 30, 100, 300, 1000)
}


def rule_for(place, when):
    """Return a rule that lowers a factor, which it keeps outside its state, under a condition."""
    lower, read = PLACES[place]
    condition = WHEN[when]

    class Rule(Counting):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            t = [t + 1 for t in state["t"]]
            factor = lower() if condition(grads, t[0].item()) else read()
            lr = hyper["lr"] * factor
            return [p - lr * g for p, g in zip(params, grads, strict=True)], {"t": t}

    return Rule


CELLS = list(product(PLACES, WHEN, ["linear", "gram", "auto", "compiled"], [1, 3]))


@pytest.mark.parametrize(("place", "when", "engine", "runs"), thinned(CELLS, 19))
def test_what_a_rule_keeps_at_some_values_alone_is_noticed(place, when, engine, runs):
    rule = rule_for(place, when)
    hidden = {"class": Memory, "table": TABLE, "list": ITEMS}
    outcome = against_eager(
        engine, lambda: runs_of(rule, linear, runs, torch.float64),
        loader_of("full_batch"), hidden,
    )  # fmt: skip
    assert not outcome.problem


ROOT = np.random.default_rng(0)


def test_a_generator_that_spawns_is_put_back():
    before = ROOT.bit_generator.seed_seq.n_children_spawned
    with HiddenState({"root": ROOT}) as saved:
        first = ROOT.spawn(1)[0].standard_normal()
        assert saved.changed() == "root"
    assert ROOT.bit_generator.seed_seq.n_children_spawned == before
    assert ROOT.spawn(1)[0].standard_normal() == first


@functools.cache
def plain_draw(index):
    return float(torch.rand(()))


@functools.cache
def through_another(index):
    return plain_draw.__wrapped__(index) + 1


@functools.cache
def square(index):
    return index * index


@pytest.mark.parametrize("function", [plain_draw, through_another])
@pytest.mark.parametrize("is_warm", [False, True])
def test_drawn_results_in_a_cache_are_a_change_and_are_emptied(function, is_warm):
    function.cache_clear()
    if is_warm:
        function(0)
    with HiddenState({"function": function}, draws=False) as saved:
        function(1)
        assert saved.changed() == "function"
    assert function.cache_info().currsize == 0


def test_computed_results_in_a_cache_are_no_change():
    square.cache_clear()
    square(1)
    with HiddenState({"function": square}) as saved:
        square(2)
        assert saved.changed() is None
    assert square.cache_info().currsize == 2


IMPORTS = {
    "from . import memory": "memory.calls += 1\n    return memory.calls",
    "from .memory import STATE": "STATE['calls'] += 1\n    return STATE['calls']",
    "from rare{0}.memory import STATE": "STATE['calls'] += 1\n    return STATE['calls']",
    "import rare{0}.memory as memory": "memory.calls += 1\n    return memory.calls",
}


@pytest.mark.parametrize("line", IMPORTS)
@pytest.mark.parametrize("is_imported", [True, False])
def test_a_module_that_a_function_imports_is_seen(tmp_path, monkeypatch, line, is_imported):
    name = f"rare{list(IMPORTS).index(line)}{is_imported:d}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "memory.py").write_text("calls = 0\nSTATE = {'calls': 0}\n")
    number = name.removeprefix("rare")
    (package / "rules.py").write_text(
        f"def count():\n    {line.format(number)}\n    {IMPORTS[line]}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    count = __import__(f"{name}.rules", fromlist=["count"]).count
    if is_imported:
        __import__(f"{name}.memory")
    with HiddenState({"rule": count}) as saved:
        assert count() == 1
        assert saved.changed() is not None
    assert count() == 1
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


class FlatClip(gd.Optimizer):
    """Clips in place, through a view of contiguous gradients."""

    def __init__(self, params, lr, *, limit: float = 20.0):
        super().__init__(params, {"lr": lr, "limit": limit})

    @staticmethod
    def update(params, grads, state, hyper):
        for g in grads:
            g.flatten().clamp_(-hyper["limit"], hyper["limit"])
        return [p - hyper["lr"] * g for p, g in zip(params, grads, strict=True)], state


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("engine", ["gram", "auto"])
def test_gradients_are_contiguous_on_every_engine(engine, outputs):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=random, dtype=torch.float64)
    y = x @ torch.randn(4, outputs, generator=random, dtype=torch.float64) + 1
    data, ends = gd.Dataset.from_arrays(x.numpy(), y.numpy()), []
    for name in ("eager", engine):
        model = gd.Linear(4, outputs)
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        rule = FlatClip(model.parameters(), lr=4.0)
        trainer = gd.Trainer(model, gd.MSE(), rule, gd.FullBatch(200), data, engine=name, epochs=8)
        ends.append(trainer.fit())
    assert ends[0].status == ends[1].status
    assert ends[1].objective == pytest.approx(ends[0].objective, rel=1e-3)


class LargestSoFar(gd.LinearModel):
    """Features scaled by the largest value seen so far in training."""

    def __init__(self, features: int, outputs: int = 1, *, bound: float = 2.0):
        super().__init__(features, outputs, bias=True)
        self.bound = bound

    def design(self, x):
        if self.training:
            self.bound = max(self.bound, float(x.abs().max()))
        return x / self.bound


@pytest.mark.parametrize("bound", [2.0, 3.0])
def test_diagnostics_leave_a_model_that_learns_in_its_design(bound):
    data, ends = gd.Diabetes().load(dtype=torch.float64), []
    for diagnosis in (None, Diagnostics()):
        model = LargestSoFar(data.features, bound=bound).double()
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        rule = gd.GD(model.parameters(), lr=0.005)
        trainer = gd.Trainer(
            model, gd.MSE(), rule, gd.PerSample(data.rows), data, epochs=2, diagnosis=diagnosis
        )
        ends.append(trainer.fit())
        assert trainer.engine.__class__ is gd.Eager
    assert ends[0].objective == ends[1].objective
