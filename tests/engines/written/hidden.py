"""Update rules that keep values outside their state."""

from __future__ import annotations

import functools
import itertools
import random

import numpy as np
import torch

from .rule import RULES, rule

CALLS = {"n": 0}
LATE = {"n": 0}
NUMBER = 0
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


@torch.no_grad()
def decorated(params, grads, state, hyper):
    LATE["n"] += 1
    factor = 1.0 if LATE["n"] < 12 else 0.1
    return [p - hyper["lr"] * factor * g for p, g in zip(params, grads)], state


rule("counts without gradients")(decorated)


@functools.cache
def memory():
    return [0]


@rule("counts in a cache")
def _(params, grads, state, hyper):
    memory()[0] += 1
    factor = 1.0 if memory()[0] < 12 else 0.1
    return [p - hyper["lr"] * factor * g for p, g in zip(params, grads)], state


@rule("remembers in its settings", past=[])
def _(params, grads, state, hyper):
    hyper["past"].append(1)
    factor = 1.0 if len(hyper["past"]) < 12 else 0.1
    return [p - hyper["lr"] * factor * g for p, g in zip(params, grads)], state


@rule("counts in the globals")
def _(params, grads, state, hyper):
    globals()["NUMBER"] += 1
    factor = 1.0 if globals()["NUMBER"] < 12 else 0.1
    return [p - hyper["lr"] * factor * g for p, g in zip(params, grads)], state


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
