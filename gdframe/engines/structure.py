"""Checks that runs have one structure, and that an optimizer's step is its pure update."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import torch

from gdframe.engines.base import Problem
from gdframe.engines.component_difference import first_difference
from gdframe.hidden_state.attachments import has_hooks
from gdframe.hidden_state.user_code import place_that_catches_errors
from gdframe.optimizers.base import Optimizer
from gdframe.optimizers.tensors import LOW_PRECISION
from gdframe.registry import is_built_in


def why_not_together(runs: Sequence[Problem], *, losses_vary: bool = False) -> str | None:
    """Return why runs cannot be trained as one run group, or None.

    Starting values, schedules, seeds, and numbers among the hyperparameters and the penalty's
    arguments may differ; all else must be equal.

    Args:
        runs: at least one.
        losses_vary: whether the numbers among the loss's arguments may differ too.
    """
    for run in runs[1:]:
        if (what := difference(runs[0], run, losses_vary=losses_vary)) is not None:
            return f"the runs differ in their {what}, which must be equal in a run group"
    if len(runs) > 1:
        first = runs[0]
        components = {**first.objective.components, "optimizer": type(first.optimizer)}
        if (place := place_that_catches_errors(components)) is not None:
            return f"its {place} catches errors, which in a run group may be those of other runs"
    return None


def difference(a: Problem, b: Problem, *, losses_vary: bool = False) -> str | None:
    """Return the first difference between two runs that one group cannot hold, or None."""
    first, second = a.objective, b.objective
    pairs = [
        ("model", first.model, second.model, None),
        (
            "loss",
            first.loss,
            second.loss,
            # the numbers of a built-in loss do not affect encoded targets
            _is_numeric if losses_vary and is_built_in(second.loss) else None,
        ),
        ("penalty", first.penalty, second.penalty, _is_numeric),
    ]
    for what, a_part, b_part, skip in pairs:
        if (place := first_difference(a_part, b_part, skip=skip)) is not None:
            return what if place == "type" else f"{what} ({place})"
    penalized = [
        [n for n, p in o.model.named_parameters() if any(p is q for q in o.penalized)]
        for o in (first, second)
    ]
    if penalized[0] != penalized[1]:
        return "penalty"
    if type(a.optimizer) is not type(b.optimizer):
        return "optimizer"
    settings = [_settings(run.optimizer) for run in (a, b)]
    if (place := first_difference(*settings)) is not None:
        return f"optimizer ({place})"
    return None


def _settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return the part of an optimizer's parameter groups that must be equal in all runs."""
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        values = optimizer.hyper(group) if isinstance(optimizer, Optimizer) else group
        free = ("params", CLIP) if is_built_in(type(optimizer)) else ("params",)
        fixed = {k: v for k, v in values.items() if not (is_number(v) or k in free)}
        groups.append({**fixed, "parameters": len(group["params"])})
    return groups


CLIP = "clip_norm"
"""A hyperparameter of built-in rules that counts as a number even if it is None: no limit."""


def is_number(value: Any) -> bool:
    """Return whether a value is a number but no truth value, so that it may differ among runs."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers_of(component: object) -> dict[str, float]:
    """Return the numbers that a component holds, by name: all that differs in a run group."""
    return {name: value for name, value in vars(component).items() if is_number(value)}


def _is_numeric(name: str, value: Any) -> bool:
    return is_number(value)


STEP = ("step", "apply", "hyper", "prepare", "initial_state", "_store")
"""Methods of an optimizer that turn its pure update into a step."""


_OPTIM = f"{Path(torch.optim.__file__).parent}{os.sep}"
"""The folder of the optimizers and schedulers of PyTorch, which wrap ``step``."""


def _definition(optimizer: Optimizer, name: str) -> Any:
    """Return an optimizer's method, without the wrappers of schedulers and torch."""
    return _unwrapped(vars(optimizer).get(name) or inspect.getattr_static(type(optimizer), name))


def _unwrapped(method: Any) -> Any:
    """Return what torch's wrappers call; wrappers of others may do more, and stay."""
    method = getattr(method, "__func__", method)
    while isinstance(method, FunctionType) and method.__code__.co_filename.startswith(_OPTIM):
        if not hasattr(method, "__wrapped__"):
            break
        method = getattr(method.__wrapped__, "__func__", method.__wrapped__)
    return method


def _base_definition(name: str) -> Any:
    return _unwrapped(inspect.getattr_static(Optimizer, name))


def why_step_not_update(run: Problem) -> str | None:
    """Return why a run's step is not one pure update of all trained parameters, or None."""
    optimizer = run.optimizer
    name = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        return f"its optimizer ({name}) is not a gdframe.Optimizer"
    if any(_definition(optimizer, method) is not _base_definition(method) for method in STEP):
        return f"its optimizer ({name}) does more in a step than its pure update"
    hooks = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    if any(getattr(optimizer, hook, None) for hook in hooks):
        return f"its optimizer ({name}) has hooks"
    everywhere = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")
    if any(getattr(sys.modules[torch.optim.Optimizer.__module__], hook) for hook in everywhere):
        return "PyTorch calls hooks at each step of any optimizer"
    groups = optimizer.param_groups
    bound = [id(p) for group in groups for p in group["params"] if p.requires_grad]
    trained = [p for p in run.objective.model.parameters() if p.requires_grad]
    if any(has_hooks(p) for p in trained):
        return "a parameter has hooks on its gradient, which only backward() calls"
    if len(groups) > 1:
        return "its optimizer has several parameter groups"
    if sorted(bound) != sorted(id(p) for p in trained):
        return "its optimizer does not have the parameters that the model trains"
    if bound != [id(p) for p in trained]:
        return "its optimizer has the model's parameters in another order"
    if any(p.dtype in LOW_PRECISION for p in trained):
        return "parameters in float16 or bfloat16 are updated in float32, by engine=eager alone"
    return None
