"""Names that the loops use and that each specialisation defines anew, here in plain Python.

A specialisation is the text of a file of loops, followed by its own definitions of these names,
made from the loss, the penalty and the update rule (``specialize.py``). Numba looks names up when
it compiles a function, so the later definitions count. ``F`` is the type of the parameters. The
arguments of a loss and a penalty, and the values that ``prepare`` returns, are tuples here, and
columns of an array where many runs are trained at once.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from gdframe.engines.linear import intrinsics
from gdframe.engines.linear.arguments import Buffers, Numbers, Parameters, RuleState

# sums may be regrouped, so that they compile to vector instructions; what is not a number or
# infinite stays so
_SETTINGS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}
_INLINED: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "forceinline": True,
    "_nrt": False,
}

compiled = numba.njit(cache=True, nogil=True, **_SETTINGS)
"""Compiles a function that Python calls."""

inner = numba.njit(**_INLINED, **_SETTINGS)
"""Compiles a function that other loops call."""

exact = numba.njit(**_INLINED, error_model="numpy", fastmath={"contract"})
"""Compiles a function whose sums stay in their order."""

prefetch: Any = intrinsics.prefetch
"""Asks the processor to fetch a row that will be needed soon: ``prefetch(rows, row)``."""


@numba.njit(**_SETTINGS)  # it returns arrays, so that references must be counted
def named(block: Any) -> Any:
    """Return the plain tuples of a block's arrays as named ones."""
    parameters, state, numbers, buffers = block
    return Parameters(*parameters), RuleState(*state), Numbers(*numbers), Buffers(*buffers)


F = np.float32
ZERO, ONE = F(0), F(1)

COUPLED = False
"""Whether the loss is ``coupled_loss``."""

PENALIZE_BIASES = False
"""Whether the penalty acts on biases."""

OUTPUTS = 0
"""The number of outputs where it is one, which lets the loops over outputs vanish; else zero."""


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


__all__ = [
    "COUPLED",
    "F",
    "ONE",
    "OUTPUTS",
    "PENALIZE_BIASES",
    "ZERO",
    "compiled",
    "coupled_loss",
    "exact",
    "inner",
    "loss",
    "named",
    "penalty",
    "prefetch",
    "prepare",
    "update",
    "update_bias",
]
