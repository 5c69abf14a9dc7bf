"""Placeholders for the functions of a loss, a penalty and an update rule.

The loops import these names. The generated module that Numba compiles has functions of its own in
their place (``specialize.py``): to add a loss, write its ``kernel``. ``F`` is the type of the
parameters. The arguments of a loss and a penalty, and the values that ``prepare`` returns, are
tuples here, and columns of an array where many runs are trained at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

F = np.float32
ZERO, ONE = F(0), F(1)


def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that is called from Python."""
    return loop


def inner(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that becomes part of those that call it."""
    return loop


def prefetch(rows: Any, row: int) -> None:
    """Ask the processor to fetch a row that will be needed soon."""


def loss(z: Any, y: Any, arguments: Any, r: int) -> tuple[Any, Any]:
    """Return the value and the slope of the loss at one output."""
    error = z - y
    return error * error, error + error


def coupled_loss(z: Any, label: Any, slope: Any, arguments: Any, r: int) -> Any:
    """Return the value of a loss over all outputs (outputs,) of a row, and fill in its slopes."""
    return ZERO


def penalty(w: Any, arguments: Any, r: int) -> tuple[Any, Any]:
    """Return the value and the slope of the penalty at one parameter."""
    return ZERO, ZERO


def prepare(
    hyper: Any, counters: Any, factor: Any, values: Any = None, r: int = 0
) -> tuple[Any, ...]:
    """Count a step; return what the update needs that is the same for all coordinates.

    Where many runs are trained, it is left in column ``r`` of ``values``.
    """
    return (F(hyper[0] * factor),)


def update(w: Any, g: Any, states: Any, i: int, values: Any) -> Any:
    """Return a parameter's new value; renew its states (states, coordinates) at ``i`` in place."""
    return w - values[0] * g


def update_bias(w: Any, g: Any, states: Any, i: int, values: Any) -> Any:
    """Do the same for a bias."""
    return w - values[0] * g


COUPLED = False
"""True if the loss is ``coupled_loss``."""

WEIGHTED = False
"""True if rows differ in weight: the last column of y is that of each row."""

PENALIZE_BIASES = False
"""True if the penalty acts on biases."""

OUTPUTS = 0
"""The number of outputs where it is one, which lets the loops over outputs vanish; else zero."""
