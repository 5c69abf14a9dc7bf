"""Checks that a component's declarations, such as its kernel, match its definition."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdframe.objective import Objective
from gdframe.registry import is_own

PLACES = tuple(
    np.array(places)
    for places in ([0.0, 1e-6, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0], [1e3], [1e5], [1e8], [1e12])
)
"""Distances from a target or zero at which kernels are compared, in units of the largest target.

Near places are compared together, each of those far off by itself: runs that diverge get there.
"""

MOST_TARGETS, CLOSE = 64, 1e-9
"""Most targets for comparing kernels; largest difference, relative to the largest value."""


class KernelError(Exception):
    """A kernel differs from its loss or penalty; the message tells which and in what."""


def declares(component: object, declaration: str, definition: str) -> bool:
    """Return whether a declaration is in the class of the definition that it describes, or below.

    A subclass that overrides the definition alone makes an inherited declaration wrong.

    Args:
        component: a loss or a penalty.
        declaration: name of an attribute such as ``kernel``.
        definition: name of the method that the declaration describes, such as ``__call__``.
    """
    if getattr(component, declaration, None) is None:
        return False
    places = [_place(component, name) for name in (declaration, definition)]
    return places[0] <= places[1]


def _place(component: object, name: str) -> int:
    """Return the position in the MRO of the class that defines a name; -1 for the instance."""
    if name in vars(component):
        return -1
    classes = type(component).__mro__
    return next(i for i, owner in enumerate(classes) if name in vars(owner))


def takes_its_arguments(component: Any, fixed: int) -> bool:
    """Return whether a kernel takes ``fixed`` arguments and then its ``kernel_arguments``."""
    count = len(inspect.signature(component.kernel).parameters) - fixed
    return count == len(component.kernel_arguments)


def check_kernels(objective: Objective, targets: Tensor) -> None:
    """Compare a user's kernels with their loss and penalty, near to targets and far from them.

    Args:
        objective: loss and penalty to check.
        targets: encoded targets.

    Raises:
        KernelError: a value or a slope differs.
    """
    loss, penalty = objective.loss, objective.penalty
    checks_loss = loss is not None and not is_own(loss) and not loss.coupled
    few = _spread(targets.reshape(-1).double()) if checks_loss else None
    for places in PLACES:
        steps = torch.tensor(np.concatenate([places, -places])) + 1.234e-3
        if few is not None:
            _check_loss(loss, steps, few)
        if objective.penalized and not is_own(penalty):
            _check_penalty(penalty, steps)


def _check_loss(loss: Any, steps: Tensor, few: Tensor) -> None:
    """Compare a loss's kernel with the loss at some steps from a few targets."""
    size = float(few.abs().max()) or 1.0
    y = few.repeat_interleave(len(steps))[:, None]
    z = (y + (steps * size).repeat(len(few))[:, None]).requires_grad_()
    value = loss(z, y)
    (slopes,) = torch.autograd.grad(value, z)
    pairs = [_call(loss, a, b) for a, b in zip(z[:, 0].tolist(), y[:, 0].tolist(), strict=True)]
    _compare(f"loss {loss.name}", pairs, value.item(), slopes[:, 0] * len(z))


def _check_penalty(penalty: Any, steps: Tensor) -> None:
    """Compare a penalty's kernel with the penalty at some values of parameters."""
    w = steps.clone().requires_grad_()
    total = torch.as_tensor(penalty.value([w]))
    (slopes,) = torch.autograd.grad(total, w)
    pairs = [_call(penalty, a) for a in w.tolist()]
    _compare(f"penalty {type(penalty).__name__}", pairs, total.item() / len(w), slopes)


def _spread(values: Tensor) -> Tensor:
    """Return up to ``MOST_TARGETS`` distinct values, including the smallest and the largest."""
    distinct = torch.unique(values)
    at = torch.linspace(0, len(distinct) - 1, min(MOST_TARGETS, len(distinct))).long()
    spread: Tensor = distinct[at]
    return spread


def _call(component: Any, *numbers: float) -> tuple[float, float]:
    try:
        value, slope = component.kernel(*numbers, *component.kernel_arguments)
    except (OverflowError, ValueError, ZeroDivisionError):  # compiled loops give inf here
        return float("nan"), float("nan")
    return float(value), float(slope)


def _compare(name: str, pairs: list[tuple[float, float]], mean: float, slopes: Tensor) -> None:
    """Compare a kernel's values and slopes with autograd's, where autograd's are finite."""
    values, kernel_slopes = np.array(pairs).T
    expected = slopes.detach().numpy()
    finite = np.isfinite(expected)
    errors = np.abs(kernel_slopes[finite] - expected[finite])
    size = np.abs(expected[finite]).max(initial=0.0)
    if not (errors <= CLOSE * size).all():
        raise KernelError(f"the kernel of its {name} has another slope")
    if np.isfinite(mean) and not abs(values.mean() - mean) <= CLOSE * (1.0 + abs(mean)):
        raise KernelError(f"the kernel of its {name} has another value")
