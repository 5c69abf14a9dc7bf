"""Update rules are recorded as scalar arithmetic."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from counting import Counting

import gdframe as gd
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.operations import ARITHMETIC, COMPARISONS, LOGIC
from gdframe.engines.recorded_rule import Recording, rule_of
from gdframe.engines.recorder import REWRITTEN
from gdframe.engines.rule import Rule, Update
from gdframe.engines.rule_check import compare

SHAPES = ((2, 3), (2,))


def recorded(rule, dtype=torch.float64, shapes=SHAPES, varying=("lr",), **hyper):
    params = [torch.zeros(shape, dtype=dtype) for shape in shapes]
    hyper = {"lr": 0.1, **hyper}
    initial = rule.initial_state(params)
    recorded_rule = Recording(rule, hyper, params, initial, varying).rule()
    compare(recorded_rule, rule, hyper, params, initial)
    return recorded_rule


def rule_with(body, states=()):
    class Rule(gd.Optimizer):
        @staticmethod
        def init_state(params):
            return {name: [torch.zeros_like(p) for p in params] for name in states}

        update = staticmethod(body)

    return Rule


@pytest.mark.parametrize("name", list(gd.OPTIMIZERS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_rule_of_gdframe_is_recorded(name, dtype):
    model = gd.Linear(3, 2).to(dtype)
    optimizer = gd.OPTIMIZERS.build(name, params=model.parameters(), lr=0.1)
    run = gd.Problem(gd.Objective(model, gd.MSE()), optimizer, gd.Constant(), 0)
    rule = rule_of([run])
    assert rule.is_uniform
    assert "lr" in rule.hyper


def test_the_recorded_arithmetic_is_that_of_the_rule():
    rule = recorded(rule_with(lambda p, g, s, h: ([a - h["lr"] * b for a, b in zip(p, g)], s)))
    assert rule.updates[0] == Update(("v0 = u0 * g", "v1 = w - v0"), "v1", ())
    assert rule.step_values == ("h0",)


def test_hyperparameters_and_counters_are_computed_once_a_step():
    rule = recorded(gd.Adam, varying=("lr", "beta1", "beta2", "eps"), beta1=0.9, beta2=0.99,
                    eps=1e-8)  # fmt: skip
    assert rule.counters == ("step",)
    assert all("**" not in line for line in rule.updates[0].lines)
    assert sum("**" in line for line in rule.step_lines) == 2


class Lion(gd.Optimizer):
    def __init__(self, params, lr, *, beta: float = 0.9):
        super().__init__(params, {"lr": lr, "beta": beta})

    @staticmethod
    def init_state(params):
        return {"mean": [torch.zeros_like(p) for p in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        beta = hyper["beta"]
        mean = [torch.lerp(g, m, beta) for m, g in zip(state["mean"], grads)]
        steps = [torch.where(m.abs() > 0.01, torch.sign(m), m).clamp(-1, 1) for m in mean]
        new = [torch.sub(p, s, alpha=hyper["lr"]) for p, s in zip(params, steps)]
        return new, {"mean": [torch.maximum(m, torch.zeros_like(m)) for m in mean]}


def test_a_users_rule_is_recorded_too():
    assert recorded(Lion, varying=("lr", "beta"), beta=0.9).is_uniform


SPELLINGS = {
    "power of a negative number": lambda p, g, s, h: ([a - h["lr"] * (-2.0) ** 2 * b
                                                       for a, b in zip(p, g)], s),
    "a mask times a number": lambda p, g, s, h: ([a - h["lr"] * ((a != 0) * b)
                                                  for a, b in zip(p, g)], s),
    "equality": lambda p, g, s, h: ([a - h["lr"] * b * (a == a) for a, b in zip(p, g)], s),
    "clamp at infinity": lambda p, g, s, h: ([a - h["lr"] * b.clamp(max=math.inf)
                                              for a, b in zip(p, g)], s),
    "in place on parameters": lambda p, g, s, h: ([a.sub_(h["lr"] * b)
                                                   for a, b in zip(p, g)], s),
    "in place through an alias": lambda p, g, s, h: (_through_alias(p, g, h), s),
    "addcdiv": lambda p, g, s, h: ([torch.addcdiv(a, b, b.abs() + 1, value=-0.1)
                                    for a, b in zip(p, g)], s),
    "alpha": lambda p, g, s, h: ([a.add(b, alpha=-h["lr"]) for a, b in zip(p, g)], s),
    "lerp": lambda p, g, s, h: ([torch.lerp(a, b, h["lr"]) for a, b in zip(p, g)], s),
    "lerp by a number": lambda p, g, s, h: ([torch.lerp(torch.lerp(a, b, 1.0), b, weight=0.2)
                                             for a, b in zip(p, g)], s),
    "lerp by coordinates": lambda p, g, s, h: ([a.lerp_(b, (b > 0).to(b.dtype))
                                                for a, b in zip(p, g)], s),
    "value": lambda p, g, s, h: ([a.addcmul_(b, b, value=-h["lr"]) for a, b in zip(p, g)], s),
    "rsqrt": lambda p, g, s, h: ([a - h["lr"] * b * torch.rsqrt(b * b + 1)
                                  for a, b in zip(p, g)], s),
    "a number by number of entries": lambda p, g, s, h: ([a - h["lr"] / math.sqrt(a.numel()) * b
                                                          for a, b in zip(p, g)], s),
    "by the number of dimensions": lambda p, g, s, h: ([a - (0.1 if a.ndim == 2 else 0.01) * b
                                                        for a, b in zip(p, g)], s),
    "by place in the list": lambda p, g, s, h: ([a - h["lr"] / (i + 1) * b
                                                 for i, (a, b) in enumerate(zip(p, g))], s),
    "logic": lambda p, g, s, h: ([torch.where((a > 0) & ~(b < 0) | (b == 0), a - 0.1 * b, a)
                                  for a, b in zip(p, g)], s),
}  # fmt: skip


def _through_alias(params, grads, hyper):
    for p, g in zip(params, grads):
        p.data.sub_(hyper["lr"] * g)
    return params


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spellings_are_recorded_as_pytorch_understands_them(spelling, dtype):
    rule = rule_with(SPELLINGS[spelling])
    params, grads = ([torch.randn(shape, dtype=dtype) for shape in SHAPES] for _ in range(2))
    arrays = [[tensor.numpy().copy() for tensor in tensors] for tensors in (params, grads)]
    values, _, _ = recorded(rule, dtype).apply(*arrays, [[], []], [], [0.1])
    expected, _ = rule.update(params, grads, {}, {"lr": 0.1})
    for value, tensor in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, tensor.numpy(), rtol=10 * torch.finfo(dtype).eps,
                                   atol=10 * torch.finfo(dtype).eps)  # fmt: skip


def test_a_rule_that_depends_on_the_parameter_is_not_uniform():
    body = SPELLINGS["by the number of dimensions"]
    assert not recorded(rule_with(body)).is_uniform


REFUSED = {
    "uses norm": lambda p, g, s, h: ([a - h["lr"] * b / b.norm() for a, b in zip(p, g)], s),
    "uses sum": lambda p, g, s, h: ([a - b.sum() for a, b in zip(p, g)], s),
    "decides by a value": lambda p, g, s, h: ([a if h["lr"] > 0 else -a
                                               for a, b in zip(p, g)], s),
    "uses select": lambda p, g, s, h: ([a - float(b[0, 0]) for a, b in zip(p, g)], s),
    "fails on tensors": lambda p, g, s, h: (p[0].nothing["x"], s),
    "different parameters": lambda p, g, s, h: ([a - g[0] for a in p], s),
    "draws random numbers": lambda p, g, s, h: ([a - torch.rand_like(a) for a in p], s),
    "neither an argument nor created in it": lambda p, g, s, h: ([a - OUTSIDE for a in p], s),
    "is not in init_state": lambda p, g, s, h: (p, {"late": g}),
    "uses cumsum": lambda p, g, s, h: ([a - b.cumsum(0) for a, b in zip(p, g)], s),
    r"takes a tensor apart|fails|uses": lambda p, g, s, h: ([a - b.tolist()[0][0]
                                                             for a, b in zip(p, g)], s),
}  # fmt: skip
OUTSIDE = torch.ones(())


@pytest.mark.parametrize("reason", REFUSED)
def test_an_operation_without_a_scalar_form_is_refused(reason):
    with pytest.raises(NotElementwiseError, match=reason):
        recorded(rule_with(REFUSED[reason]), shapes=((2, 3), (2, 3)))


def test_state_of_another_shape_is_refused():
    class Factored(gd.GD):
        @staticmethod
        def init_state(params):
            return {"row": [p.sum(dim=0, keepdim=True) for p in params]}

    with pytest.raises(NotElementwiseError, match="another shape than its parameter"):
        recorded(Factored)


def test_a_wrongly_recorded_rule_is_refused():
    params = [torch.zeros(2, 3, dtype=torch.float64)]
    wrong = Rule(("lr",), (), (), (), ("h0",), (), (Update(("v0 = u0 * g",), "w + v0", ()),)
    )  # fmt: skip
    with pytest.raises(NotElementwiseError, match="parameter 0 differs"):
        compare(wrong, gd.GD, {"lr": 0.1}, params, {})


def test_numbers_that_a_rule_branches_on_become_constants():
    class Decayed(gd.Optimizer):
        def __init__(self, params, lr, *, decay: float = 0.1):
            super().__init__(params, {"lr": lr, "decay": decay})

        @staticmethod
        def update(params, grads, state, hyper):
            if hyper["decay"] > 0:
                grads = [g + hyper["decay"] * p for p, g in zip(params, grads)]
            return [p - hyper["lr"] * g for p, g in zip(params, grads)], state

    def runs(*decays):
        problems = []
        for decay in decays:
            model = gd.Linear(3).double()
            rule = Decayed(model.parameters(), 0.1, decay=decay)
            problems.append(gd.Problem(gd.Objective(model, gd.MSE()), rule, gd.Constant(), 0))
        return problems

    assert rule_of(runs(0.1, 0.1)).hyper == ("lr", "constant 0")
    assert rule_of(runs(0.5, 0.5)).hyper == ("lr",)
    texts = [replace(rule_of(runs(decay)), constants=()) for decay in (0.1, 0.3)]
    assert texts[0] == texts[1]  # so that they share what was compiled
    varied = rule_of(runs(0.1, 0.2))
    assert varied.hyper == ("lr", "constant 0")
    for decay in (0.1, 0.2):
        assert varied.values({"clip_norm": None, "lr": 0.5, "decay": decay}) == [0.5, decay]
    with pytest.raises(NotElementwiseError, match="change its formula"):
        rule_of(runs(0.1, 0.0))


def test_states_that_use_each_others_values_are_updated_together():
    body = lambda p, g, s, h: (s["a"], {"a": s["b"], "b": [x - 0.1 * y for x, y in zip(p, g)]})  # noqa: E731
    rule = recorded(rule_with(body, states=("a", "b")))
    w, states = [np.ones((2, 3)), np.ones(2)], [[np.zeros(s), np.full(s, 2.0)] for s in SHAPES]
    params, after, _ = rule.apply(w, w, states, [], [0.1])
    assert (params[0] == 0).all()
    assert (after[0][0] == 2).all()
    assert np.allclose(after[0][1], 0.9)


def test_the_sign_of_nan_is_zero_as_in_pytorch():
    body = lambda p, g, s, h: ([a - h["lr"] * (b / b).sign() for a, b in zip(p, g)], s)  # noqa: E731
    rule = recorded(rule_with(body))
    zero = [np.zeros(shape) for shape in SHAPES]
    with np.errstate(all="ignore"):
        params, _, _ = rule.apply(zero, zero, [[], []], [], [0.1])
    assert (params[0] == 0).all()


def test_a_decision_by_a_counter_is_recorded():
    class Late(Counting):
        @staticmethod
        def update(params, grads, state, hyper):
            t = [t + 1 for t in state["t"]]
            large = [(g.abs() > 0.1) & (k > 2) for g, k in zip(grads, t)]
            new = [torch.where(big, p, p - hyper["lr"] * g.masked_fill(p.isnan(), 0.0))
                   for p, g, big in zip(params, grads, large)]  # fmt: skip
            return new, {"t": t}

    assert recorded(Late).counters == ("t",)


SPELLED = {
    "+": ["add"], "-": ["sub", "rsub"], "*": ["mul"], "/": ["div"], "**": ["pow"],
    "<": ["lt"], "<=": ["le"], ">": ["gt"], ">=": ["ge"], "==": ["eq"], "!=": ["ne"],
    "&": ["bitwise_and"], "|": ["bitwise_or"], "^": ["bitwise_xor"], "~": ["bitwise_not"],
    "to": ["_to_copy"], "copy_": ["copy"], "fill_": ["fill"], "zero_": ["zero"],
}  # fmt: skip
"""PyTorch's basic operations by the words for them in the guide, where these are others."""


def test_the_guide_lists_every_operation_that_the_recorder_understands():
    page = (Path(gd.__file__).parent / "guide" / "extending.md").read_text()
    (passage,) = re.findall(r"forms and aliases for (.*?)\. A rule may", page, re.DOTALL)
    words = " ".join(re.findall(r"`(.*?)`", passage)).split()
    operations = [name for word in words for name in SPELLED.get(word, [word])]
    recorded_as_others = "lerp"
    expected = [*ARITHMETIC, *COMPARISONS, *LOGIC, *REWRITTEN, recorded_as_others]
    assert sorted(operations) == sorted(expected)
