"""Update rules that decide by shape, type and place, or use PyTorch's many spellings."""

from __future__ import annotations

import math

import torch

from .rule import counted, rule, zeros


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


@rule("settings removed", fast=True, decay=0.1)
def _(params, grads, state, hyper):
    lr, decay = hyper.pop("lr"), hyper.pop("decay", 0.0)
    return [p - lr * (g + decay * p) for p, g in zip(params, grads)], state
