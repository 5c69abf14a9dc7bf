"""Update rules as researchers write them: each is computed as written, or refused.

Each entry of ``RULES`` is a class built by ``rule``. Rules with hidden state run on the plain loop
only. ``ELEMENTWISE`` names the rules that the linear engine must execute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import gdframe as gd

RULES: dict[str, type[gd.Optimizer]] = {}
ELEMENTWISE: set[str] = set()


def rule(name: str, *, init: Callable[..., Any] | None = None, fast: bool = False, **defaults: Any):
    """Register an update ``(params, grads, state, hyper)`` as an optimizer."""

    def decorate(update: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self, params, lr, **settings):
            gd.Optimizer.__init__(self, params, {"lr": lr, **defaults, **settings})

        members = {"__init__": __init__, "update": staticmethod(update), "__module__": __name__}
        if init is not None:
            members["init_state"] = staticmethod(init)
        RULES[name] = type(name.title().replace(" ", ""), (gd.Optimizer,), members)
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
