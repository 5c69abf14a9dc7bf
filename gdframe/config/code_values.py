"""The values that the code of a user's component refers to: of its class, defaults and globals.

They are set when its file is imported, so what is drawn there is another value in each process.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from torch import nn

from gdframe.config.constructed import is_plain
from gdframe.hidden_state.transparency import is_library, names_in
from gdframe.sameness import generator_access

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Version of Python, on which constants in code depend."""


def code_values_of(component: object) -> Iterator[tuple[str, Any]]:
    """Yield plain values that a component's code refers to, with their places.

    They are in attributes of users' classes, default arguments, closures, and globals that
    functions name, also of modules that these import; and the constants of functions themselves.

    Args:
        component: of a user.
    """
    parts = component.modules() if isinstance(component, nn.Module) else [component]
    search = _Search()
    for kind in dict.fromkeys(map(type, parts)):
        yield from search.inside(kind.__name__, kind)


class _Search:
    def __init__(self) -> None:
        self._seen = set[int]()

    def inside(self, place: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Yield the plain values in a value, and in code that it is or names."""
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, types.ModuleType) or id(value) in self._seen:
            return
        if is_plain(value):
            yield place, value
        elif (access := generator_access(value)) is not None:
            yield place, access[0]()
        elif isinstance(value, (type, types.FunctionType, property)):
            self._seen.add(id(value))
            yield from self._code(place, value)

    def _code(self, place: str, value: type | types.FunctionType | property) -> Iterator[Any]:
        if isinstance(value, property):
            for function in (value.fget, value.fset):
                yield from self.inside(place, function)
        elif isinstance(value, types.FunctionType):
            if not is_library(value):
                yield from self._function(place, value)
        else:
            for owner in value.__mro__:
                if not is_library(owner):
                    for name, item in vars(owner).items():
                        if not (name.startswith("__") and is_plain(item)):  # as of any class
                            yield from self.inside(f"{owner.__name__}.{name}", item)

    def _function(self, place: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        code, names = function.__code__, names_in(function.__code__)
        yield f"code of {place} (Python {VERSION})", [*_constants(code)]
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            yield from self.inside(f"{place} a default argument", value)
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # the cell is empty
                yield from self.inside(place, cell.cell_contents)
        for name in sorted(names & function.__globals__.keys()):
            value = function.__globals__[name]
            yield from self.inside(f"{place} {name}", value)
            if isinstance(value, types.ModuleType) and not is_library(value):
                for inner in sorted(names & vars(value).keys()):
                    yield from self.inside(f"{place} {name}.{inner}", vars(value)[inner])


def _constants(code: types.CodeType) -> Iterator[str]:
    """Yield the constants and names in code, as texts."""
    yield from sorted(map(str, code.co_names))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _constants(constant)
        elif not isinstance(constant, (str, frozenset)):  # a set has no order
            yield repr(constant)
