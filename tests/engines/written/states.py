"""Update rules with unusual states."""

from __future__ import annotations

import torch

from .rule import counted, rule, zeros


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


@rule(
    "rotates", init=lambda params: {"z": [torch.zeros_like(p, dtype=torch.cfloat) for p in params]}
)
def _(params, grads, state, hyper):
    z = [(0.8 + 0.4j) * z + g for z, g in zip(state["z"], grads)]
    return [p - hyper["lr"] * v.real for p, v in zip(params, z)], {"z": z}
