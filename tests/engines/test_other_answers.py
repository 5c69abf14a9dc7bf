"""Update rules that ask what engines answer otherwise: seeds, ``clip_norm``, errors, zero rates.

An engine gives what the plain loop gives, or refuses.
"""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
import torch
from catching import CATCHERS
from thinned import thinned

import gdframe as gd

from .against_eager import against_eager, linear, loader_of, runs_of

ENGINES = ["linear", "gram", "auto", "compiled"]


def put_back(read, restore, draw):
    def value():
        before = read()
        number = draw()
        restore(before)
        return number

    return value


SEEDS = {
    "torch's seed": lambda: torch.initial_seed() % 1000 / 1000,
    "a generator from torch's seed": lambda: random.Random(torch.initial_seed()).random(),
    "NumPy from torch's seed": lambda: np.random.default_rng(torch.initial_seed() % 99).random(),
    "torch": put_back(torch.get_rng_state, torch.set_rng_state, lambda: torch.rand(()).item()),
    "NumPy": put_back(np.random.get_state, np.random.set_state, np.random.rand),
    "Python": put_back(random.getstate, random.setstate, random.random),
}


def rule_that_reads(draw):
    class Rule(gd.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            lr = hyper["lr"] * (0.5 + draw())
            return [p - lr * g for p, g in zip(params, grads, strict=True)], state

    return Rule


def rule_that_clips(limit_of):
    class Rule(gd.Optimizer):
        def __init__(self, params, lr, clip_norm=0.4):
            super().__init__(params, {"lr": lr, "clip_norm": clip_norm})

        @staticmethod
        def init_state(params):
            return {"v": [torch.zeros_like(p) for p in params]}

        @staticmethod
        def update(params, grads, state, hyper):
            v = [0.9 * v + g for v, g in zip(state["v"], grads, strict=True)]
            limit = limit_of(hyper)
            used = v if limit is None else [a.clamp(-limit, limit) for a in v]
            return [p - hyper["lr"] * a for p, a in zip(params, used, strict=True)], {"v": v}

    return Rule


LIMITS = {
    "get": lambda hyper: hyper.get("clip_norm"),
    "item": lambda hyper: hyper["clip_norm"],
    "all settings": lambda hyper: dict(hyper)["clip_norm"],
    "items": lambda hyper: next(v for n, v in hyper.items() if n == "clip_norm"),
    "keywords": lambda hyper: (lambda lr, clip_norm=None: clip_norm)(**hyper),
}


def rule_that_catches(holds):
    class Rule(gd.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            if holds(grads[0].norm() > 0.5):
                return params, state
            return [p - hyper["lr"] * g for p, g in zip(params, grads, strict=True)], state

    return Rule


class Longest(gd.Optimizer):
    """Takes steps of a largest length: Python divides by the learning rate, which may be zero."""

    def __init__(self, params, lr, longest=0.1):
        super().__init__(params, {"lr": lr, "longest": longest})

    @staticmethod
    def update(params, grads, state, hyper):
        limit = hyper["longest"] / hyper["lr"]
        pairs = zip(params, grads, strict=True)
        return [p - hyper["lr"] * g.clamp(-limit, limit) for p, g in pairs], state


@pytest.mark.parametrize("engine", ["linear", "auto"])
@pytest.mark.parametrize("loader", ["full_batch", "mini_batch"])
def test_a_division_that_python_may_refuse_is_not_recorded(engine, loader):
    outcome = against_eager(
        engine, lambda: runs_of(Longest, linear, 1, torch.float64), loader_of(loader), {}
    )
    assert not outcome.problem
    assert engine == "auto" or "divides by a setting" in outcome.reason


RULES = {
    **{f"seed of {name}": rule_that_reads(draw) for name, draw in SEEDS.items()},
    **{f"limit by {name}": rule_that_clips(limit) for name, limit in LIMITS.items()},
    **{f"caught by {name}": rule_that_catches(holds) for name, holds in CATCHERS.items()},
}
CELLS = list(product(RULES, ENGINES, [1, 3], ["full_batch", "mini_batch"]))


@pytest.mark.parametrize(("name", "engine", "runs", "loader"), thinned(CELLS, 9))
def test_a_rule_is_computed_as_on_eager_or_refused(name, engine, runs, loader):
    outcome = against_eager(
        engine, lambda: runs_of(RULES[name], linear, runs, torch.float64), loader_of(loader), {}
    )
    assert not outcome.problem


@pytest.mark.parametrize("engine", ["linear", "gram", "auto"])
@pytest.mark.parametrize("limits", [(0.4, None, 0.6, 0.7, 0.8), (None, 0.4), (0.1, 0.2, 0.3)])
def test_limits_that_differ_are_those_of_each_run(engine, limits):
    def runs():
        runs = runs_of(RULES["limit by item"], linear, len(limits), torch.float64)
        for run, limit in zip(runs, limits, strict=True):
            run.optimizer.param_groups[0]["clip_norm"] = limit
        return runs

    outcome = against_eager(engine, runs, loader_of("full_batch"), {})
    assert not outcome.problem


class Cholesky(gd.Optimizer):
    """Scales by a factor where there is one: in a batch of matrices one without fails for all."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @staticmethod
    def update(params, grads, state, hyper):
        after = []
        for p, g in zip(params, grads, strict=True):
            flat = g.reshape(-1)
            matrix = torch.outer(flat, flat) + torch.diag(1.0 - flat.abs())
            try:
                factor = torch.linalg.cholesky(matrix).diagonal()
            except torch.linalg.LinAlgError:
                factor = torch.ones_like(flat)
            after.append(p - hyper["lr"] * g * factor.reshape(g.shape))
        return after, state


@pytest.mark.parametrize("engine", ["gram", "auto"])
@pytest.mark.parametrize("runs", [1, 3])
def test_an_error_of_one_run_is_not_that_of_its_group(engine, runs):
    outcome = against_eager(
        engine, lambda: runs_of(Cholesky, linear, runs, torch.float64), loader_of("full_batch"), {}
    )
    assert not outcome.problem
    assert runs == 1 or "catches errors" in outcome.reason


class Averaged(gd.Optimizer):
    """The mean of momenta with several factors, which are a list; a state of small integers."""

    def __init__(self, params, lr, factors=(0.0, 0.9)):
        super().__init__(params, {"lr": lr, "factors": list(factors)})

    @staticmethod
    def init_state(params):
        signs = [torch.zeros(p.shape, dtype=torch.int8) for p in params]
        kept = [torch.zeros(p.shape, dtype=torch.uint8) for p in params]
        return {"signs": signs, "kept": kept}

    @staticmethod
    def update(params, grads, state, hyper):
        signs = [g.sign().to(torch.int8) for g in grads]
        pairs = zip(signs, state["signs"], state["kept"], strict=True)
        kept = [torch.where(a == b, k + 1, 0).to(torch.uint8) for a, b, k in pairs]
        factor = sum(hyper["factors"]) / len(hyper["factors"])
        triples = zip(params, grads, kept, strict=True)
        after = [p - hyper["lr"] * factor * g * 1.1 ** k.clamp(max=9) for p, g, k in triples]
        return after, {"signs": signs, "kept": kept}


@pytest.mark.parametrize("runs", [1, 3])
def test_lists_as_settings_and_small_integers_as_states_are_executed(runs):
    outcome = against_eager(
        "gram", lambda: runs_of(Averaged, linear, runs, torch.float64), loader_of("full_batch"), {}
    )
    assert outcome == (None, "")
