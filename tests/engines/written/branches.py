"""Update rules that branch in Python, or that combine coordinates."""

from __future__ import annotations

import math

import numpy as np
import torch

from .rule import counted, rule


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
