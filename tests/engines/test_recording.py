"""Scalar code of update rules, recorded from the pure functions themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.engines.recording import NotElementwiseError, record

HYPER = {
    "gd": {}, "momentum": {"beta": 0.9}, "nesterov": {"beta": 0.9}, "adagrad": {"eps": 1e-8},
    "rmsprop": {"decay": 0.9, "eps": 1e-8}, "adam": {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8},
}  # fmt: skip


def execute(rule, w, g, states, counters, hyper):
    """Run the recorded lines for one coordinate in plain Python."""
    scope = {"sqrt": math.sqrt, "F": float, "ONE": 1.0, "w": w, "g": g, "max": max, "min": min,
             "sign": lambda v: float(np.sign(v)), "exp": math.exp, "log": math.log,
             "tanh": math.tanh}  # fmt: skip
    scope |= {f"h{i}": hyper[name] for i, name in enumerate(rule.hyper)}
    scope |= {f"c{i}": value for i, value in enumerate(counters)}
    scope |= {f"s{i}": value for i, value in enumerate(states)}
    for line in (*rule.step_lines, *rule.lines):
        exec(line, scope)
    return (
        eval(rule.new_parameter, scope),
        [eval(text, scope) for text in rule.new_states],
        [eval(text, scope) for text in rule.new_counters],
    )


def follow(cls, hyper, steps=5):
    """Return where a recorded rule goes over some steps, and where its own tensors go."""
    hyper = {"lr": 0.1, **hyper}
    rule = record(cls, hyper, torch.float64)
    param = torch.tensor([[0.5]], dtype=torch.float64)
    state = cls.init_state([param])
    w, states, counters = 0.5, [0.0] * len(rule.states), [0.0] * len(rule.counters)
    recorded, own = [], []
    for step in range(steps):
        g = math.cos(3.0 * step) + 0.1
        w, states, counters = execute(rule, w, g, states, counters, hyper)
        (param,), state = cls.update([param], [torch.full_like(param, g)], state, hyper)
        recorded.append(w)
        own.append(param.item())
    return recorded, own


@pytest.mark.parametrize("name", list(gd.OPTIMIZERS))
def test_every_rule_of_gdframe_is_recorded(name):
    recorded, own = follow(gd.OPTIMIZERS.get(name), HYPER[name])
    assert recorded == pytest.approx(own, rel=1e-14)


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


def test_a_rule_of_ones_own_is_recorded_too():
    recorded, own = follow(Lion, {"beta": 0.9})
    assert recorded == pytest.approx(own, rel=1e-14)


def refused(body) -> type:
    class Rule(gd.Optimizer):
        update = staticmethod(body)

    return Rule


@pytest.mark.parametrize(("body", "reason"), [
    (lambda p, g, s, h: ([a - h["lr"] * b / b.norm() for a, b in zip(p, g)], s), "uses norm"),
    (lambda p, g, s, h: ([a - b.sum() for a, b in zip(p, g)], s), "uses sum"),
    (lambda p, g, s, h: ([a if b > 0 else -a for a, b in zip(p, g)], s), "decides by a value"),
    (lambda p, g, s, h: ([a - float(b[0]) for a, b in zip(p, g)], s), "takes a tensor apart"),
    (lambda p, g, s, h: (p[0].nothing["x"], s), "fails on single|takes"),
])  # fmt: skip
def test_rules_that_mix_coordinates_are_refused(body, reason):
    with pytest.raises(NotElementwiseError, match=reason):
        record(refused(body), {"lr": 0.1}, torch.float64)


def test_state_of_another_shape_is_refused():
    class Factored(gd.GD):
        @staticmethod
        def init_state(params):
            return {"row": [p.sum(dim=0) for p in params]}

    with pytest.raises(NotElementwiseError, match="a shape of its own"):
        record(Factored, {"lr": 0.1}, torch.float64)
