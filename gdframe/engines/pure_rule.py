"""Trial calls of an update rule: whether its result depends on its arguments alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.engines.probe import all_same, opaque_message, with_other_seeds
from gdframe.engines.problem_state import settings_of_groups, starting_state, trained_parameters
from gdframe.errors import first_line
from gdframe.hidden_state import DRAWS, HiddenState
from gdframe.optimizers.base import Optimizer, State
from gdframe.randomness import normal
from gdframe.registry import is_built_in


def why_rule_not_pure(run: Problem) -> str | None:
    """Return what a run's update rule depends on besides its arguments, or None."""
    optimizer = run.optimizer
    assert isinstance(optimizer, Optimizer)
    rule = type(optimizer)
    if is_built_in(rule):
        return None
    name = f"its optimizer ({rule.__name__})"
    with HiddenState({"optimizer": rule, "settings": settings_of_groups(optimizer)}) as saved:
        if saved.opaque:
            return opaque_message(f"its {saved.opaque}")
        try:
            reason = _try_rule(run, optimizer, saved.changed)
        except Exception as error:  # a rule may raise anything
            return f"{name} fails ({first_line(error)})"
    return None if reason is None else f"{name} {reason}"


@torch.no_grad()
def _try_rule(
    run: Problem, optimizer: Optimizer, changed: Callable[[], str | None]
) -> str | None:  # fmt: skip
    hyper = optimizer.hyper(optimizer.param_groups[0])
    state = starting_state(run)
    for key, values in state.items():
        if any(not isinstance(value, Tensor) for value in values):
            return "has a state that is not a tensor for each parameter"
        if any(value.is_complex() for value in values):
            return f"has a complex state '{key}', which only engine=eager takes"
    random = torch.Generator().manual_seed(0)
    like = [p.detach() for p in trained_parameters(run).values()]
    points, grads = ([normal(p, random) for p in like] for _ in range(2))
    for _ in range(2):  # a rule may do more after its first update
        calls = []
        for call in range(2):
            old: State = {k: [v.clone() for v in values] for k, values in state.items()}
            params, slopes = [p.clone() for p in points], [g.clone() for g in grads]
            update = partial(optimizer.apply, params, slopes, old, dict(hyper))
            calls.append(with_other_seeds(update, like[0].device) if call else update())
            if (place := changed()) is not None:
                what = "draws random numbers" if place == DRAWS else f"changes its {place}"
                return f"{what} in an update"
        (after, new), (again, renewed) = calls
        if new.keys() != state.keys():
            extra = ", ".join(sorted(new.keys() - state.keys()))
            return f"has a state '{extra}' that is not in its init_state"
        for key, values in new.items():
            pairs = zip(values, state[key], strict=True)
            if any(not isinstance(v, Tensor) or _form(v) != _form(like) for v, like in pairs):
                return f"changes the shape or the type of its state '{key}'"
        if any(_form(a) != _form(p) for a, p in zip(after, points, strict=True)):
            return "changes the shape or the type of a parameter"
        if not all_same(after, again) or not all(all_same(new[k], renewed[k]) for k in new):
            return "gives another result when it is called again with other seeds"
        points = [p.detach().clone() for p in after]
        state = {k: [v.detach().clone() for v in values] for k, values in new.items()}
    return None


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return (tensor.shape, tensor.dtype, tensor.device)
