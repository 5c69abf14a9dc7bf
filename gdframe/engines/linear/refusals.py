"""Reasons why the linear engine cannot execute a run, in words that a user can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.engines.declared import declares, why_not_kernel
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.probe import why_not_as_declared
from gdframe.engines.pure_rule import why_rule_not_pure
from gdframe.engines.recorded_rule import rule_of
from gdframe.loaders.base import Loader
from gdframe.models.plain import is_linear_in_parameters
from gdframe.models.polynomial import Polynomial
from gdframe.objective import Objective

MOST_TERMS = 1 << 28
"""Most values of a polynomial's terms held beside the features."""


def why_not_linear(runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
    """Return what runs have that no loop is written for; None if all is known.

    Args:
        runs: of one structure.
        data: what they train on.
        loader: which rows each update sees.
    """
    objective, optimizer = runs[0].objective, runs[0].optimizer
    model = objective.model
    if objective.loss is None or not is_linear_in_parameters(model):
        return f"its model ({type(model).__name__}) is not linear in its parameters"
    if data.train.features.device.type != "cpu":
        return f"it runs on the CPU, and the data is on {data.train.features.device}: device=cpu"
    parameters = list(model.parameters())
    names = [name for name, _ in model.named_parameters()]
    if names != ["weight", "bias"][: len(names)]:
        return f"its model ({type(model).__name__}) has other parameters than weight and bias"
    if any(p.dtype != data.train.features.dtype or not p.requires_grad for p in parameters):
        return "a parameter is frozen, or of another type than the data"
    terms = parameters[0].shape[1]
    if terms * data.rows > MOST_TERMS and isinstance(model, Polynomial):
        return f"the model's {terms:,} terms of {data.rows:,} rows need much memory"
    if reason := _why_no_kernels([run.objective for run in runs]):
        return reason
    if reason := why_rule_not_pure(runs[0]) or why_not_as_declared(runs[0], data, loader):
        return reason
    try:
        rule_of(runs)
    except NotElementwiseError as error:
        name = type(optimizer).__name__
        return f"its optimizer ({name}) does not treat each coordinate by itself: {error}"
    return None


def _why_no_kernels(objectives: Sequence[Objective]) -> str | None:
    """Return why losses and penalties cannot be computed by one kernel each, or None."""
    losses: list[Any] = [objective.loss for objective in objectives]
    name = f"its loss ({losses[0].name})"
    if not all(declares(loss, "kernel", "__call__") for loss in losses):
        return f"{name} has no kernel for its value and slope"
    if reason := why_not_kernel(losses, name, 3 if losses[0].coupled else 2):
        return reason
    if not objectives[0].penalized:
        return None
    penalties = [objective.penalty for objective in objectives]
    name = f"its penalty ({type(penalties[0]).__name__})"
    if not all(declares(penalty, "kernel", "value") for penalty in penalties):
        return f"{name} has no kernel for its value and slope"
    for objective in objectives:
        weight, *bias = objective.model.parameters()
        if {id(p) for p in objective.penalized} not in ({id(weight)}, {id(weight), *map(id, bias)}):
            return f"{name} penalises something else than all weights, with or without biases"
    return why_not_kernel(penalties, name, 1)
