"""Finds code of users' components that some engines cannot execute as it is written.

An engine that records, vectorises or compiles a component raises errors of its own inside it, and
has gradients on where the plain loop has them off. So code that catches errors, or asks for
gradients, may go another way there.
"""

from __future__ import annotations

import dis
import itertools
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import nn

from gdframe.hidden_state.guard import with_state
from gdframe.hidden_state.state import HiddenState
from gdframe.hidden_state.transparency import names_in

GRADIENT_NAMES = {
    "is_grad_enabled", "is_inference_mode_enabled", "is_inference", "requires_grad", "grad_fn",
    "is_leaf",
}  # fmt: skip
"""Functions and attributes by which code tells whether gradients are computed."""

HANDLERS = {"CHECK_EXC_MATCH", "CHECK_EG_MATCH"}
"""Operations of Python that select the errors which are caught."""


def place_that_catches_errors(components: Mapping[str, Any]) -> str | None:
    """Return where the code of users' components catches errors, as a path; None if nowhere."""
    functions = _functions_of(components)
    return next((path for path, f in functions if _catches_errors(f.__code__)), None)


def place_that_asks_for_gradients(components: Mapping[str, Any]) -> str | None:
    """Return where users' code tells whether gradients are computed; None if nowhere."""
    functions = _functions_of(components)
    return next((path for path, f in functions if names_in(f.__code__) & GRADIENT_NAMES), None)


def _functions_of(components: Mapping[str, Any]) -> list[tuple[str, types.FunctionType]]:
    """Return the functions that steps may call, by their paths."""
    users = with_state(components)
    modules = [value for value in users.values() if isinstance(value, nn.Module)]
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]  # need no copy
    return HiddenState(users, draws=False, skip=tensors).functions if users else []


@lru_cache(maxsize=4096)
def _catches_errors(code: types.CodeType) -> bool:
    operations = [step.opname for step in dis.get_instructions(code)]
    pairs = itertools.pairwise(operations)
    catches_all = any(pair == ("PUSH_EXC_INFO", "POP_TOP") for pair in pairs)  # a bare except
    return (
        catches_all
        or code.co_name == "__exit__"
        or "suppress" in code.co_names
        or not HANDLERS.isdisjoint(operations)
        or any(_catches_errors(c) for c in code.co_consts if isinstance(c, types.CodeType))
    )
