"""Results that ``functools.lru_cache`` holds for a function, and whether they may be drawn."""

from __future__ import annotations

import functools
import gc
import re
import types
from contextlib import suppress
from typing import Any

from gdframe.hidden_state.leaves import Leaf
from gdframe.hidden_state.transparency import is_library, names_in
from gdframe.sameness import PLAIN

LRU_CACHE = functools._lru_cache_wrapper

DRAWING = re.compile(
    "rand|normal|uniform|bernoulli|multinomial|poisson|binomial|dropout|shuffle|choice|sample|"
    "permut|integers|exponential_|geometric_|cauchy_|orthogonal_|gauss|variate|spawn"
)
"""Pattern in the names of functions that draw, of PyTorch, NumPy and ``random``."""


def cache_leaf(function: Any) -> Leaf:
    """Save what a cached function holds: new results that may change, or were drawn, are a change.

    Single results cannot be removed, so the cache is emptied if it was empty or its results are
    drawn.
    """
    draws = may_draw(function.__wrapped__)
    known, calls = {id(result) for result in cached_results(function)}, _calls(function)

    def has_changed() -> bool:
        if draws and _calls(function) != calls:
            return True
        return any(id(result) not in known for result in cached_results(function))

    was_empty = not function.cache_info().currsize
    return has_changed, function.cache_clear if draws or was_empty else lambda: None


def _calls(function: Any) -> int:
    """Return how often the function was called to fill its cache."""
    return int(function.cache_info().misses)


def cached_results(function: Any) -> list[Any]:
    """Return the results that a cache holds, and their keys, but for values that never change."""
    held: list[Any] = []
    for value in gc.get_referents(function):
        if type(value) is dict and value is not vars(function):
            held += value.values()
        elif not isinstance(value, (type, dict, types.FunctionType)):
            held.append(value)
    return [v for v in held if type(v).__name__ != "_lru_list_elem" and not _is_fixed(v)]


def _is_fixed(value: Any) -> bool:
    """Return whether a value never changes: a plain one, or a tuple of them."""
    return isinstance(value, PLAIN) or (type(value) is tuple and all(map(_is_fixed, value)))


def may_draw(function: Any) -> bool:
    """Return whether a function, or one that it names, names a function that draws."""
    seen, pending = set[int](), [function]
    while pending:
        value = pending.pop()
        value = getattr(value, "__wrapped__", value)
        if id(value) in seen or not isinstance(value, types.FunctionType) or is_library(value):
            continue
        seen.add(id(value))
        names = names_in(value.__code__)
        if any(map(DRAWING.search, names)):
            return True
        pending += [value.__globals__[name] for name in names & value.__globals__.keys()]
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # it is empty
                pending.append(cell.cell_contents)
    return False
