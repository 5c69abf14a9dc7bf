"""Update rules as researchers write them: every one is computed as written, or refused.

Each entry of ``RULES`` is a class made by ``rule``. Some keep state where no engine can see it:
they run on the plain loop alone. ``ELEMENTWISE`` names those that the linear engine must execute.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import gdframe as gd

RULES: dict[str, type[gd.Optimizer]] = {}
ELEMENTWISE: set[str] = set()


def rule(name: str, *, init: Callable[..., Any] | None = None, fast: bool = False, **defaults: Any):
    """Register an update ``(params, grads, state, hyper)`` as an optimizer."""

    def decorate(update: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self, params, lr, **settings):
            gd.Optimizer.__init__(self, params, {"lr": lr, **defaults, **settings})

        own = {"__init__": __init__, "update": staticmethod(update), "__module__": __name__}
        if init is not None:
            own["init_state"] = staticmethod(init)
        RULES[name] = type(name.title().replace(" ", ""), (gd.Optimizer,), own)
        if fast:
            ELEMENTWISE.add(name)
        return update

    return decorate


def zeros(*names: str) -> Callable[..., Any]:
    return lambda params: {n: [torch.zeros_like(p) for p in params] for n in names}


def counted(*names: str) -> Callable[..., Any]:
    return lambda params: {
        **{n: [torch.zeros_like(p) for p in params] for n in names},
        "t": gd.counters(params),
    }


# decisions by shape, type and place


@rule("decay on matrices", fast=True, decay=0.1)
def _(params, grads, state, hyper):
    decays = [hyper["decay"] if p.ndim == 2 else 0.0 for p in params]
    pairs = zip(params, grads, decays)
    return [p - hyper["lr"] * (g + d * p) for p, g, d in pairs], state


@rule("decay by shape", fast=True)
def _(params, grads, state, hyper):
    return [
        p - hyper["lr"] * (g + 0.05 * p if p.shape[0] > 1 else g) for p, g in zip(params, grads)
    ], state


@rule("by type", fast=True)
def _(params, grads, state, hyper):
    eps = [1e-3 if p.dtype == torch.float64 else 0.5 for p in params]
    return [p - hyper["lr"] * g / (g.abs() + e) for p, g, e in zip(params, grads, eps)], state


@rule("by device", fast=True)
def _(params, grads, state, hyper):
    factors = [0.5 if p.is_cuda else 1.0 for p in params]
    return [p - hyper["lr"] * f * g for p, g, f in zip(params, grads, factors)], state


@rule("finfo", fast=True)
def _(params, grads, state, hyper):
    return [
        p - hyper["lr"] * g / (1 + torch.finfo(p.dtype).eps * g.abs())
        for p, g in zip(params, grads)
    ], state


@rule("number of parameters", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] / len(params) * g for p, g in zip(params, grads)], state


@rule("per layer", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * 0.5**i * g for i, (p, g) in enumerate(zip(params, grads))], state


@rule("all but the last", fast=True)
def _(params, grads, state, hyper):
    head = [p - hyper["lr"] * g for p, g in zip(params[:-1], grads[:-1])]
    return [*head, params[-1] - 0.1 * hyper["lr"] * grads[-1]], state


@rule("first only", fast=True)
def _(params, grads, state, hyper):
    return [params[0] - hyper["lr"] * grads[0], *params[1:]], state


@rule("fan in", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] / math.sqrt(p.shape[-1]) * g for p, g in zip(params, grads)], state


@rule("number of entries", fast=True)
def _(params, grads, state, hyper):
    total = sum(p.numel() for p in params)
    return [p - hyper["lr"] * p.numel() / total * g for p, g in zip(params, grads)], state


# spellings


@rule("in place", init=zeros("v"), fast=True, beta=0.9)
def _(params, grads, state, hyper):
    for p, g, v in zip(params, grads, state["v"]):
        v.mul_(hyper["beta"]).add_(g)
        p.sub_(hyper["lr"] * v)
    return params, state


@rule("in place with alpha", init=zeros("v"), fast=True, beta=0.9)
def _(params, grads, state, hyper):
    for p, g, v in zip(params, grads, state["v"]):
        v.lerp_(g, 1 - hyper["beta"])
        p.add_(v, alpha=-hyper["lr"])
    return params, state


@rule("torch spelling", init=counted("m", "s"), fast=True, beta=0.9, eps=1e-8)
def _(params, grads, state, hyper):
    for p, g, m, s, t in zip(params, grads, state["m"], state["s"], state["t"]):
        t += 1
        m.mul_(hyper["beta"]).add_(g, alpha=0.1)
        s.mul_(0.99).addcmul_(g, g, value=0.01)
        p.addcdiv_(m / (1 - hyper["beta"] ** t), s.sqrt().add_(hyper["eps"]), value=-0.01)
    return params, state


@rule("through data", fast=True)
def _(params, grads, state, hyper):
    for p, g in zip(params, grads):
        p.data.sub_(hyper["lr"] * g)
    return params, state


@rule("grads in place", fast=True)
def _(params, grads, state, hyper):
    for p, g in zip(params, grads):
        g.add_(0.1 * p)
    return [p - hyper["lr"] * g for p, g in zip(params, grads)], state


@rule("mask", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * ((p != 0) * g) for p, g in zip(params, grads)], state


@rule("equal signs", init=zeros("last"), fast=True)
def _(params, grads, state, hyper):
    agree = [(g * old >= 0) for g, old in zip(grads, state["last"])]
    new = [p - hyper["lr"] * torch.where(a, g, 0.5 * g) for p, g, a in zip(params, grads, agree)]
    return new, {"last": [g.clone() for g in grads]}


@rule("logic", fast=True)
def _(params, grads, state, hyper):
    keep = [(g.abs() < 10) & ~(p == 5) | (p > 3) for p, g in zip(params, grads)]
    return [torch.where(k, p - hyper["lr"] * g, p) for p, g, k in zip(params, grads, keep)], state


@rule("alternating", init=counted(), fast=True)
def _(params, grads, state, hyper):
    t = [t + 1 for t in state["t"]]
    new = [p - hyper["lr"] * (1 + 0.5 * (-1.0) ** k) * g for p, g, k in zip(params, grads, t)]
    return new, {"t": t}


@rule("negative power", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g * (-2.0) ** 2 / 4 for p, g in zip(params, grads)], state


@rule("powers", fast=True)
def _(params, grads, state, hyper):
    return [
        p - hyper["lr"] * (g + 0.1 * g**3 - g**2 * 0.01 + g.abs() ** 0.5 * g.sign())
        for p, g in zip(params, grads)
    ], state


@rule("clamp", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g.clamp(-1, 1) for p, g in zip(params, grads)], state


@rule("clamp at infinity", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g.clamp(min=-0.5, max=math.inf) for p, g in zip(params, grads)], state


@rule("clamp by a tensor", fast=True)
def _(params, grads, state, hyper):
    return [
        p - torch.clamp(hyper["lr"] * g, -p.abs(), p.abs() + 1) for p, g in zip(params, grads)
    ], state


@rule("sign", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g.sign() for p, g in zip(params, grads)], state


@rule("maximum", init=zeros("s"), fast=True)
def _(params, grads, state, hyper):
    s = [torch.maximum(0.9 * s, g.abs()) for s, g in zip(state["s"], grads)]
    return [p - hyper["lr"] * g / (v + 1e-8) for p, g, v in zip(params, grads, s)], {"s": s}


@rule("copies", init=zeros("last"), fast=True)
def _(params, grads, state, hyper):
    step = [hyper["lr"] * (2 * g - old) for g, old in zip(grads, state["last"])]
    for old, g in zip(state["last"], grads):
        old.copy_(g)
    return [p - s for p, s in zip(params, step)], state


@rule("full like", fast=True)
def _(params, grads, state, hyper):
    return [p - torch.full_like(p, 0.01) * g for p, g in zip(params, grads)], state


@rule("soft threshold", fast=True)
def _(params, grads, state, hyper):
    moved = [p - hyper["lr"] * g for p, g in zip(params, grads)]
    return [m.sign() * torch.relu(m.abs() - 1e-3) for m in moved], state


@rule("tanh and log", fast=True)
def _(params, grads, state, hyper):
    return [
        p - hyper["lr"] * torch.tanh(g) * torch.log(1 + g.abs()).exp()
        for p, g in zip(params, grads)
    ], state


@rule("foreach")
def _(params, grads, state, hyper):
    return list(torch._foreach_sub(params, torch._foreach_mul(grads, hyper["lr"]))), state


@rule("compensated", init=zeros("lost"), fast=True)
def _(params, grads, state, hyper):
    new, lost = [], []
    for p, g, c in zip(params, grads, state["lost"]):
        step = -hyper["lr"] * g - c
        moved = p + step
        lost.append((moved - p) - step)
        new.append(moved)
    return new, {"lost": lost}


# states


@rule("starts as the parameters", init=lambda params: {"mean": list(params)}, fast=True)
def _(params, grads, state, hyper):
    mean = [0.9 * m + 0.1 * p for m, p in zip(state["mean"], params)]
    new = [p - hyper["lr"] * (g + 0.1 * (p - m)) for p, g, m in zip(params, grads, mean)]
    return new, {"mean": mean}


@rule(
    "starts at random",
    init=lambda params: {"v": [0.1 * torch.randn_like(p) for p in params]}, fast=True,
)  # fmt: skip
def _(params, grads, state, hyper):
    v = [0.9 * v + g for v, g in zip(state["v"], grads)]
    return [p - hyper["lr"] * w for p, w in zip(params, v)], {"v": v}


@rule("starts at one", init=lambda params: {"s": [torch.ones_like(p) for p in params]}, fast=True)
def _(params, grads, state, hyper):
    s = [0.9 * s + 0.1 * g * g for s, g in zip(state["s"], grads)]
    return [p - hyper["lr"] * g / s.sqrt() for p, g, s in zip(params, grads, s)], {"s": s}


@rule(
    "starts by place",
    init=lambda params: {"v": [torch.full_like(p, float(i)) for i, p in enumerate(params)]},
    fast=True,
)
def _(params, grads, state, hyper):
    v = [0.5 * v + g for v, g in zip(state["v"], grads)]
    return [p - hyper["lr"] * w for p, w in zip(params, v)], {"v": v}


@rule("keeps the parameters", init=zeros("last"), fast=True)
def _(params, grads, state, hyper):
    new = [p - hyper["lr"] * g + 0.1 * (p - q) for p, g, q in zip(params, grads, state["last"])]
    return new, {"last": params}


@rule("keeps the gradients", init=zeros("last"), fast=True)
def _(params, grads, state, hyper):
    new = [p - hyper["lr"] * (2 * g - q) for p, g, q in zip(params, grads, state["last"])]
    return new, {"last": grads}


@rule("keeps what it moves in place", init=zeros("last"), fast=True)
def _(params, grads, state, hyper):
    pull = [0.1 * (p - q) for p, q in zip(params, state["last"])]
    for p, g, d in zip(params, grads, pull):
        p.sub_(hyper["lr"] * g + hyper["lr"] * d)
    return params, {"last": params}


@rule("two names of one state", init=zeros("a", "b"), fast=True)
def _(params, grads, state, hyper):
    for a in state["a"]:
        a.mul_(0.5)
    new = [p - hyper["lr"] * (g + a - b) for p, g, a, b in
           zip(params, grads, state["a"], state["b"])]  # fmt: skip
    v = [g.clone() for g in grads]
    return new, {"a": v, "b": v}


@rule("swaps", init=zeros("a", "b"), fast=True)
def _(params, grads, state, hyper):
    new = [p - hyper["lr"] * (g + 0.1 * a) for p, g, a in zip(params, grads, state["a"])]
    return new, {"a": state["b"], "b": grads}


@rule("forgets to return a state", init=counted("v"), fast=True)
def _(params, grads, state, hyper):
    v = [0.9 * v + g for v, g in zip(state["v"], grads)]
    return [p - hyper["lr"] * w for p, w in zip(params, v)], {"v": v}


@rule("makes state late")
def _(params, grads, state, hyper):
    v = state.get("v") or [torch.zeros_like(p) for p in params]
    v = [0.9 * v + g for v, g in zip(v, grads)]
    return [p - hyper["lr"] * w for p, w in zip(params, v)], {"v": v}


@rule("counts in whole numbers", init=lambda params: {
    "t": [torch.zeros((), dtype=torch.int64) for _ in params]})  # fmt: skip
def _(params, grads, state, hyper):
    t = [t + 1 for t in state["t"]]
    return [p - hyper["lr"] / k * g for p, g, k in zip(params, grads, t)], {"t": t}


@rule("counts in single precision", init=lambda params: {"t": [torch.zeros(()) for _ in params]})
def _(params, grads, state, hyper):
    t = [t + 1 for t in state["t"]]
    return [p - hyper["lr"] / k.sqrt() * g for p, g, k in zip(params, grads, t)], {"t": t}


@rule("sum of counters", init=counted())
def _(params, grads, state, hyper):
    t = [t + 1 for t in state["t"]]
    return [p - hyper["lr"] / sum(t) * g for p, g in zip(params, grads)], {"t": t}


@rule("counts by layer", init=counted())
def _(params, grads, state, hyper):
    t = [t + 1 + i for i, t in enumerate(state["t"])]
    return [p - hyper["lr"] / k * g for p, g, k in zip(params, grads, t)], {"t": t}


@rule("counts in Python", init=lambda params: {"t": [0 for _ in params]})
def _(params, grads, state, hyper):
    t = [t + 1 for t in state["t"]]
    return [p - hyper["lr"] / k * g for p, g, k in zip(params, grads, t)], {"t": t}


@rule("grows its state", init=lambda params: {"all": [p.new_zeros(0) for p in params]})
def _(params, grads, state, hyper):
    seen = [torch.cat([a, g.reshape(-1)[:1]]) for a, g in zip(state["all"], grads)]
    return [p - hyper["lr"] / (1 + a.sum() ** 2) * g for p, g, a in zip(params, grads, seen)], {
        "all": seen
    }


@rule("a row of states", init=lambda params: {"s": [p.new_zeros(p.shape[-1]) for p in params]})
def _(params, grads, state, hyper):
    s = [s + (g * g).reshape(-1, s.shape[0]).sum(0) for s, g in zip(state["s"], grads)]
    return [p - hyper["lr"] * g / (1 + v.sqrt()) for p, g, v in zip(params, grads, s)], {"s": s}


# Python branches


@rule("warm-up by a counter", init=counted())
def _(params, grads, state, hyper):
    t = [t + 1 for t in state["t"]]
    factor = 0.1 if t[0] < 5 else 1.0
    return [p - hyper["lr"] * factor * g for p, g in zip(params, grads)], {"t": t}


@rule("warm-up by where", init=counted(), fast=True)
def _(params, grads, state, hyper):
    t = [t + 1 for t in state["t"]]
    rates = [hyper["lr"] * torch.clamp(k / 5.0, max=1.0) for k in t]
    return [p - r * g for p, g, r in zip(params, grads, rates)], {"t": t}


@rule("branch on a setting", decay=0.1, nesterov=True)
def _(params, grads, state, hyper):
    if hyper["decay"] > 0.05:
        grads = [g + hyper["decay"] * p for p, g in zip(params, grads)]
    if hyper["nesterov"]:
        grads = [1.1 * g for g in grads]
    return [p - hyper["lr"] * g for p, g in zip(params, grads)], state


@rule("branch on the rate")
def _(params, grads, state, hyper):
    lr = hyper["lr"] if hyper["lr"] < 0.02 else 0.5 * hyper["lr"]
    return [p - lr * g for p, g in zip(params, grads)], state


@rule("asks for the rate's type")
def _(params, grads, state, hyper):
    lr = hyper["lr"] if isinstance(hyper["lr"], float) else 0.001
    return [p - lr * g for p, g in zip(params, grads)], state


@rule("whole-number settings", power=2, repeat=3)
def _(params, grads, state, hyper):
    for _ in range(int(hyper["repeat"])):
        params = [p - hyper["lr"] * g / hyper["repeat"] for p, g in zip(params, grads)]
    return [p * (1 - 0.1 ** hyper["power"] * 0.01) for p in params], state


@rule("math of settings", beta=0.9)
def _(params, grads, state, hyper):
    scale = math.sqrt(1 - hyper["beta"] ** 2)
    return [p - hyper["lr"] * scale * g for p, g in zip(params, grads)], state


@rule("settings in a tuple", betas=(0.5, 0.25))
def _(params, grads, state, hyper):
    a, b = hyper["betas"]
    return [p - hyper["lr"] * (a + b) * g for p, g in zip(params, grads)], state


@rule("a function among the settings", squash=torch.tanh)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * hyper["squash"](g) for p, g in zip(params, grads)], state


@rule("branch on a value")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * (g if g.mean() > 0 else 2 * g) for p, g in zip(params, grads)], state


@rule("reads a value")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] / (1 + abs(float(g.max()))) * g for p, g in zip(params, grads)], state


@rule("reads a list")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g * (1 + 0.01 * len(set(g.reshape(-1).tolist())))
            for p, g in zip(params, grads)], state  # fmt: skip


@rule("by way of numpy")
def _(params, grads, state, hyper):
    return [
        p - hyper["lr"] * torch.from_numpy(np.sign(g.numpy()) * 0.5) for p, g in zip(params, grads)
    ], state


# across coordinates


@rule("normalised")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g / (g.norm() + 1e-8) for p, g in zip(params, grads)], state


@rule("normalised over all")
def _(params, grads, state, hyper):
    norm = sum((g * g).sum() for g in grads).sqrt()
    return [p - hyper["lr"] * g / (norm + 1) for p, g in zip(params, grads)], state


@rule("trust ratio")
def _(params, grads, state, hyper):
    ratios = [(p.norm() + 1) / (g.norm() + 1) for p, g in zip(params, grads)]
    return [p - hyper["lr"] * r * g for p, g, r in zip(params, grads, ratios)], state


@rule("matrices only")
def _(params, grads, state, hyper):
    new = []
    for p, g in zip(params, grads):
        step = g
        if g.ndim == 2:
            step = g / (g @ g.T + torch.eye(len(g), dtype=g.dtype)).diagonal().sum()
        new.append(p - hyper["lr"] * step)
    return new, state


@rule("centred")
def _(params, grads, state, hyper):
    return [
        p - hyper["lr"] * (g - g.mean(dim=-1, keepdim=True)) for p, g in zip(params, grads)
    ], state


@rule("neighbour's parameter")
def _(params, grads, state, hyper):
    pull = params[-1].mean()
    return [p - hyper["lr"] * (g + 0.1 * pull) for p, g in zip(params, grads)], state


@rule("cumulative")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g.cumsum(-1) for p, g in zip(params, grads)], state


# what is kept outside

CALLS = {"n": 0}
SCALE = torch.tensor(0.5, dtype=torch.float64)
DRAW = torch.Generator().manual_seed(3)
NUMBERS = np.random.default_rng(4)
NATURALS = itertools.count(1)


@rule("counts in a closure")
def _(params, grads, state, hyper):
    CALLS["n"] += 1
    return [p - hyper["lr"] / CALLS["n"] * g for p, g in zip(params, grads)], state


def remember(params, grads, state, hyper, past=[]):  # noqa: B006
    past.append(1)
    return [p - hyper["lr"] / len(past) * g for p, g in zip(params, grads)], state


rule("remembers in a default argument")(remember)


@rule("iterates outside")
def _(params, grads, state, hyper):
    n = next(NATURALS)
    return [p - hyper["lr"] / n * g for p, g in zip(params, grads)], state


@rule("a tensor outside")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * SCALE * g for p, g in zip(params, grads)], state


@rule("a constant on the class", fast=True)
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * Constant.factor * g for p, g in zip(params, grads)], state


Constant = RULES["a constant on the class"]
Constant.factor = 0.7


@rule("counts on the class")
def _(params, grads, state, hyper):
    Calls.calls += 1
    return [p - hyper["lr"] / Calls.calls * g for p, g in zip(params, grads)], state


Calls = RULES["counts on the class"]
Calls.calls = 0


@rule("draws")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * (g + 0.1 * torch.randn_like(g)) for p, g in zip(params, grads)], state


@rule("drops coordinates")
def _(params, grads, state, hyper):
    return [p - hyper["lr"] * g * (torch.rand(g.shape) < 0.5) for p, g in zip(params, grads)], state


@rule("draws by Python")
def _(params, grads, state, hyper):
    factor = 1 + 0.1 * random.random()
    return [p - hyper["lr"] * factor * g for p, g in zip(params, grads)], state


@rule("draws from its own generator")
def _(params, grads, state, hyper):
    noise = [0.1 * torch.randn(g.shape, generator=DRAW, dtype=g.dtype) for g in grads]
    return [p - hyper["lr"] * (g + n) for p, g, n in zip(params, grads, noise)], state


@rule("draws by numpy")
def _(params, grads, state, hyper):
    factor = 1 + 0.1 * float(NUMBERS.standard_normal())
    return [p - hyper["lr"] * factor * g for p, g in zip(params, grads)], state


@rule("noise scaled by a setting", noise=0.0)
def _(params, grads, state, hyper):
    if hyper["noise"] > 0:
        grads = [g + hyper["noise"] * torch.randn_like(g) for g in grads]
    return [p - hyper["lr"] * g for p, g in zip(params, grads)], state
