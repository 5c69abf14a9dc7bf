"""Components that ask what engines answer otherwise: seeds, ``clip_norm``, errors, ties, gradients.

An engine gives what the plain loop gives, or refuses.
"""

from __future__ import annotations

import contextlib
import random
from itertools import product

import numpy as np
import pytest
import torch
from thinned import thinned
from torch import nn

import gdframe as gd
from gdframe.hidden_state.user_code import place_that_asks_for_gradients, place_that_catches_errors

from .against_eager import DATA, against_eager, linear, loader_of, runs_of, trained

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


def truth(flag):
    try:
        return bool(flag)
    except Exception:
        return False


def truth_of_anything(flag):
    try:
        return bool(flag)
    except:  # noqa: E722
        return False


def truth_suppressed(flag):
    with contextlib.suppress(Exception):
        return bool(flag)
    return False


class Quiet:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return True


def truth_quietly(flag):
    with Quiet():
        return bool(flag)
    return False


CATCHERS = {
    "except": truth, "bare": truth_of_anything, "suppress": truth_suppressed,
    "__exit__": truth_quietly,
}  # fmt: skip


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


class Gated(nn.Module):
    def __init__(self, most):
        super().__init__()
        self.a, self.gate = nn.Linear(3, 1), nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.most = most

    def forward(self, x):
        zero = torch.zeros((), dtype=x.dtype)
        return self.a(x) + self.most(self.gate, zero) * x.sum(1, keepdim=True)


class Trust(gd.Optimizer):
    def __init__(self, params, lr, eta=0.02):
        super().__init__(params, {"lr": lr, "eta": eta})

    @staticmethod
    def update(params, grads, state, hyper):
        rates = [
            min(1.0, hyper["eta"] * p.norm() / g.norm()) for p, g in zip(params, grads, strict=True)
        ]
        pairs = zip(params, grads, rates, strict=True)
        return [p - hyper["lr"] * r * g for p, g, r in pairs], state


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: runs_of(gd.GD, lambda _: Gated(max), 1, torch.float64),
        lambda: runs_of(gd.GD, lambda _: Gated(min), 1, torch.float64),
        lambda: runs_of(Trust, linear, 1, torch.float64),
        lambda: runs_of(
            gd.GD, lambda _: Gated(lambda *pair: sorted(pair)[-1]), 1, torch.float64
        ),
    ],
    ids=["max", "min", "rule", "sorted"],
)  # fmt: skip
def test_pythons_decisions_by_tensors_are_not_compiled(make):
    outcome = against_eager("compiled", make, loader_of("mini_batch"), {})
    assert outcome.reason
    assert not outcome.problem


def test_a_compiled_loop_refuses_max_of_tensors():
    with pytest.raises(gd.CannotExecute, match="decision of Python"):
        gd.build_engine(
            "compiled", runs_of(gd.GD, lambda _: Gated(max), 1, torch.float64), DATA,
            loader_of("mini_batch"), epochs=1,
        )  # fmt: skip


class Shifted(gd.MiniBatch):
    """Begins each epoch at a row that it computes as a tensor."""

    def order(self, epoch, seed):
        first = torch.tensor(epoch * 3 % self.rows).item()
        return torch.arange(self.rows).roll(first)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["compiled", "linear"])
def test_a_loader_may_decide_by_tensors(engine):
    outcome = against_eager(
        engine, lambda: runs_of(gd.GD, linear, 1, torch.float64), Shifted(DATA.rows, 5), {}
    )
    assert not outcome.reason
    assert not outcome.problem


class AtInference(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 1)

    def forward(self, x):
        h = self.a(x)
        return h if torch.is_grad_enabled() else h.clamp(-0.1, 0.1)


def test_all_rows_are_evaluated_without_gradients():
    (run,) = runs_of(gd.GD, lambda _: AtInference(), 1, torch.float64)
    engine, _ = trained("eager", [run], DATA, loader_of("mini_batch"))
    (evaluation,) = engine.evaluate("train")
    with torch.no_grad():
        outputs = run.objective.model.eval()(DATA.train.features)
    expected = (outputs - DATA.train.targets).square().mean().item()
    assert evaluation.loss == pytest.approx(expected, rel=1e-12)
    assert evaluation.gradient_norm > 0
    for name in ENGINES[2:]:
        assert not against_eager(
            name, lambda: runs_of(gd.GD, lambda _: AtInference(), 1, torch.float64),
            loader_of("mini_batch"), {},
        ).problem  # fmt: skip


class Shrinking(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Linear(3, 1)

    def forward(self, x):
        with torch.no_grad():
            if self.b.weight.norm() > 0.5:
                self.b.weight.mul_(0.9)
        return self.b(x)


def test_evaluations_leave_parameters_as_they_are_also_late():
    (run,) = runs_of(gd.GD, lambda _: Shrinking(), 1, torch.float64)
    weight = run.objective.model.b.weight
    with torch.no_grad():
        weight.zero_()
    loader = loader_of("full_batch")
    engine = gd.build_engine("eager", [run], DATA, loader, epochs=4)
    engine.evaluate("train")
    with torch.no_grad():
        weight.fill_(2.0)
    before = weight.detach().clone()
    engine.evaluate("train")
    assert torch.equal(weight, before)


def nested(flag):
    return [truth(f) for f in [flag]]


@pytest.mark.parametrize("function", [*CATCHERS.values(), nested, lambda f: truth(f)])
def test_code_that_catches_errors_is_found(function):
    assert place_that_catches_errors({"rule": rule_that_catches(function)})


def cleaned(flag):
    try:
        return flag + 1
    finally:
        del flag


def in_context(flag):
    with torch.no_grad():
        return flag + 1


@pytest.mark.parametrize("function", [cleaned, in_context, lambda f: all(x for x in [f])])
def test_code_that_catches_nothing_is_free(function):
    assert not place_that_catches_errors({"rule": rule_that_catches(function)})


def test_code_that_asks_for_gradients_is_found():
    assert place_that_asks_for_gradients({"model": AtInference()})
    assert not place_that_asks_for_gradients({"model": Shrinking()})
