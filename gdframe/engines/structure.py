"""What runs that are trained together must have in common, and what may differ among them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from gdframe.engines.base import Problem
from gdframe.engines.likeness import first_difference
from gdframe.models.plain import has_hooks
from gdframe.objective import Objective
from gdframe.optimizers.base import LOW_PRECISION, Optimizer


def why_not_together(runs: Sequence[Problem], *, losses_vary: bool = False) -> str | None:
    """Say why runs cannot be trained as one group, or None.

    Starting values, numbers among the hyperparameters and the penalty's arguments, schedules and
    seeds may differ; all else may not.

    Args:
        runs: at least one.
        losses_vary: whether the numbers among the loss's arguments may differ too.
    """
    for run in runs[1:]:
        if (part := difference(runs[0], run, losses_vary=losses_vary)) is not None:
            return f"the runs differ in their {part}, not in values alone"
    return None


def difference(one: Problem, other: Problem, *, losses_vary: bool = False) -> str | None:
    """Return in what two runs differ that one group cannot hold, in words; None for nothing."""
    first, second = one.objective, other.objective
    pairs = [
        ("model", first.model, second.model, None),
        ("loss", first.loss, second.loss, _is_numeric if losses_vary and _is_own(second) else None),
        ("penalty", first.penalty, second.penalty, _is_numeric),
    ]
    for what, mine, its, skip in pairs:
        if (place := first_difference(mine, its, skip=skip)) is not None:
            return what if place == "type" else f"{what} ({place})"
    chosen = [
        [n for n, p in o.model.named_parameters() if any(p is q for q in o.penalized)]
        for o in (first, second)
    ]
    if chosen[0] != chosen[1]:
        return "penalty"
    if type(one.optimizer) is not type(other.optimizer):
        return "optimizer"
    settings = [_settings(run.optimizer) for run in (one, other)]
    if (place := first_difference(*settings)) is not None:
        return f"optimizer ({place})"
    return None


def _settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return what of an optimizer's parameter groups may not differ from run to run."""
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        values = optimizer.hyper(group) if isinstance(optimizer, Optimizer) else group
        fixed = {k: v for k, v in values.items() if not (is_number(v) or k in ("params", CLIP))}
        groups.append({**fixed, "parameters": len(group["params"])})
    return groups


CLIP = "clip_norm"
"""A hyperparameter that counts as a number also where it is None: some runs may have no limit."""


def is_number(value: Any) -> bool:
    """Return whether a value may differ from run to run: a number, and not a switch."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_own(objective: Objective) -> bool:
    """Return whether a loss is gdframe's, whose numbers do not change how targets are encoded."""
    return type(objective.loss).__module__.startswith("gdframe.")


def _is_numeric(name: str, value: Any) -> bool:
    return is_number(value)


STEP = ("step", "apply", "hyper", "prepare", "initial_state", "_store")
"""The methods of an optimizer that make its pure update a step."""


def _definition(optimizer: Optimizer, name: str) -> Any:
    """Return the function that an optimizer calls by a name; schedulers and torch wrap some."""
    found = vars(optimizer).get(name) or inspect.getattr_static(type(optimizer), name)
    found = inspect.unwrap(getattr(found, "__func__", found))
    return getattr(found, "__func__", found)


def _own_definition(name: str) -> Any:
    found = inspect.getattr_static(Optimizer, name)
    return inspect.unwrap(getattr(found, "__func__", found))


def why_not_pure(run: Problem) -> str | None:
    """Say why a run's updates are not one application of a pure rule to all parameters, or None."""
    optimizer = run.optimizer
    name = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        return f"its optimizer ({name}) is no pure update rule of gdframe's"
    if any(_definition(optimizer, part) is not _own_definition(part) for part in STEP):
        return f"its optimizer ({name}) does more in a step than its pure update"
    hooks = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    if any(getattr(optimizer, hook, None) for hook in hooks):
        return f"its optimizer ({name}) has hooks"
    groups = optimizer.param_groups
    bound = [id(p) for group in groups for p in group["params"] if p.requires_grad]
    trained = [p for p in run.objective.model.parameters() if p.requires_grad]
    if any(has_hooks(p) for p in trained):
        return "a parameter has hooks on its gradient, which only backward() calls"
    if len(groups) > 1 or bound != [id(p) for p in trained]:
        return "its optimizer has several parameter groups, or leaves parameters out"
    if any(p.dtype in LOW_PRECISION for p in trained):
        return "parameters in float16 or bfloat16 are updated in float32, by engine=eager alone"
    return None
