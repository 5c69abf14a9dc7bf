"""The comparison of an objective as a function of tensors with the objective of its module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value

from gdframe.data.rows import Rows
from gdframe.engines.base import Problem
from gdframe.engines.problem_state import holding, trained_parameters
from gdframe.engines.verification import (
    DifferenceError,
    is_equal_up_to_rounding,
    random_start,
    starting_parameters,
)
from gdframe.errors import first_line
from gdframe.hidden_state import undisturbed
from gdframe.objective import FunctionalObjective, Objective

LARGEST_DIFFERENCE = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Largest difference of a term, relative to its largest value: both compute the same operations."""


def check_functional(run: Problem, rows: Rows, strengths: Mapping[str, Tensor]) -> None:
    """Compare loss and penalty as functions of tensors with those of a run's module.

    A model or a penalty may read more of a parameter than its values, such as an attribute of it.

    Args:
        run: its module holds where it starts.
        rows: encoded, to compare on.
        strengths: numbers of the penalty as a run group passes them, by name.

    Raises:
        DifferenceError: a term or its gradient differs by more than rounding.
    """
    objective, params = run.objective, trained_parameters(run)
    function, x, y = FunctionalObjective(objective, params), rows.features, rows.targets

    def loss(named: dict[str, Tensor]) -> Tensor:
        return function.mean_loss(function.outputs(named, x), y)

    def penalty(named: dict[str, Tensor]) -> Tensor:
        return torch.as_tensor(function.penalty_at(named, strengths))

    terms: list[tuple[str, Callable[[], Any], Callable[[dict[str, Tensor]], Tensor]]] = [
        ("loss of the outputs", lambda: objective.batch_loss(x, y), loss),
        ("penalty", objective.penalty_value, penalty),
    ]
    if not are_parameters(objective):
        raise DifferenceError("its penalty is of something else than parameters of the model")
    close = LARGEST_DIFFERENCE[next(iter(params.values())).dtype]
    for start in (starting_parameters(run), random_start(run, 0)):
        values = {name: start[f"model.{name}"] for name in params}
        for name, of_module, functional in terms:
            with undisturbed(**objective.components):
                with holding(objective.model, values):
                    value, slopes = value_and_gradient(of_module, list(params.values()))
                try:
                    gradient, again = grad_and_value(functional)(values)
                    with torch.no_grad():  # compiled code traces tensors that require no gradient
                        plain = functional(values)
                except Exception as error:  # of PyTorch's, or of a user's component
                    raise DifferenceError(
                        f"its {name} works with backward() alone, not as a function of tensors "
                        f"({first_line(error)})"
                    ) from error
            size = max(float(s.abs().max()) for s in slopes)
            tolerance = close, 0.0, close * size if math.isfinite(size) else 0.0
            results = [again, plain, *gradient.values()], [value, value, *slopes]
            pairs = zip(*results, strict=True)
            if not all(is_equal_up_to_rounding(a, b, None, tolerance) for a, b in pairs):
                raise DifferenceError(
                    f"its {name} is another one for tensors than for the module's parameters; it "
                    "may read an attribute or the type of a parameter"
                )


def are_parameters(objective: Objective) -> bool:
    """Return whether all that is penalised, but for constants, is a parameter of the model.

    A part of a parameter, such as a slice, is not.
    """
    known = {id(p) for p in objective.model.parameters()}
    return all(id(p) in known or not p.requires_grad for p in objective.penalized)


def value_and_gradient(
    function: Callable[[], Any], params: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Return a value and its gradient; zeros for parameters that it does not depend on."""
    with torch.enable_grad():
        value = torch.as_tensor(function())
    slopes: Sequence[Tensor | None] = [None] * len(params)
    if value.requires_grad:
        slopes = torch.autograd.grad(value, params, allow_unused=True)
    pairs = zip(slopes, params, strict=True)
    return value, [torch.zeros_like(p) if slope is None else slope for slope, p in pairs]
