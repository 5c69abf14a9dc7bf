"""Reasons why the linear engine cannot execute a run, in words that a user can act on."""

from __future__ import annotations

from collections.abc import Sequence

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.engines.declared import declares, takes_its_arguments
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.probe import why_not_as_declared, why_not_stateless
from gdframe.engines.recording import rule_of
from gdframe.loaders.base import Loader
from gdframe.models.plain import is_linear_in_parameters
from gdframe.models.polynomial import Polynomial

MOST_TERMS = 1 << 28
"""Most values of a polynomial's terms held beside the features."""


def why_not_linear(runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
    """Return what the first run has that no loop is written for; None if all is known.

    Args:
        runs: of one structure.
        data: what they train on.
        loader: which rows each update sees.
    """
    objective, optimizer = runs[0].objective, runs[0].optimizer
    model, loss, penalty = objective.model, objective.loss, objective.penalty
    if loss is None or not is_linear_in_parameters(model):
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
    if not declares(loss, "kernel", "__call__"):
        return f"its loss ({loss.name}) has no kernel for its value and slope"
    if not takes_its_arguments(loss, 3 if loss.coupled else 2):
        return f"the kernel of its loss ({loss.name}) does not take its kernel_arguments"
    if objective.penalized:
        name = type(penalty).__name__
        if not declares(penalty, "kernel", "value"):
            return f"its penalty ({name}) has no kernel for its value and slope"
        if not takes_its_arguments(penalty, 1):
            return f"the kernel of its penalty ({name}) does not take its kernel_arguments"
    if reason := why_not_stateless(runs[0]) or why_not_as_declared(runs[0], data, loader):
        return reason
    try:
        rule_of(runs)
    except NotElementwiseError as error:
        name = type(optimizer).__name__
        return f"its optimizer ({name}) does not treat each coordinate by itself: {error}"
    return None
