"""The comparison of two components by everything they hold."""

from __future__ import annotations

import functools
import types
import weakref
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gdframe.hidden_state.attachments import has_hooks
from gdframe.hidden_state.transparency import slots_of
from gdframe.sameness import same_values

VALUES = (
    bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size,
    range, slice, Enum,
)  # fmt: skip
HOOKS = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")


def first_difference(
    a: Any, b: Any, *, skip: Callable[[str, Any], bool] | None = None
) -> str | None:
    """Return the path of the first difference between two objects, or None if they are alike.

    Numbers, text, tensors and arrays are compared by value, containers and objects by what they
    hold, functions by their code and the values it refers to. Trained parameters of modules are
    compared by shape and type only, and so are lists and weak references that hold them. Objects
    without visible content are alike only if they are the same object.

    Args:
        a: the first object.
        b: the second object.
        skip: takes name and value of an attribute of ``a``; returns whether it may differ.

    Example:
        >>> first_difference(nn.Linear(2, 3), nn.Linear(2, 3)) is None
        True
        >>> first_difference({"power": [1, 2]}, {"power": [1, 3]})
        "['power'][1]"
    """
    return _Comparison(skip).compare("", a, b, top=True)


class _Comparison:
    def __init__(self, skip: Callable[[str, Any], bool] | None) -> None:
        self._skip = skip
        self._visited: dict[tuple[int, int], tuple[Any, Any]] = {}  # keeps the ids unique
        self._trained: dict[int, Tensor] = {}  # parameters of b, by the ids of those of a
        self._top: tuple[int, int] | None = None

    def compare(self, path: str, a: Any, b: Any, *, top: bool = False) -> str | None:
        here = path or "type"
        if a is b:
            return None
        if type(a) is not type(b):
            return here
        if (id(a), id(b)) in self._visited:
            # what holds the object itself sees the attributes that may differ
            is_top = (id(a), id(b)) == self._top
            return here if is_top and self._varies(a, b) else None
        if top:
            self._top = id(a), id(b)
        self._visited[id(a), id(b)] = a, b
        if isinstance(a, VALUES):
            return None if a == b or (a != a and b != b) else here
        if isinstance(a, weakref.ref):  # as recurrent layers hold their parameters
            return self.compare(path, a(), b())
        if isinstance(a, Tensor):
            return None if self._trained.get(id(a)) is b or _same_tensor(a, b) else here
        if isinstance(a, np.ndarray):
            alike = (a.dtype, a.shape) == (b.dtype, b.shape)
            return None if alike and a.tobytes() == b.tobytes() else here
        if isinstance(a, np.generic):
            return None if a.tobytes() == b.tobytes() else here
        if isinstance(a, (types.FunctionType, types.MethodType, functools.partial)):
            return self._function(here, a, b)
        if isinstance(a, (type, types.ModuleType, types.BuiltinFunctionType)):
            return here
        if isinstance(a, (dict, list, tuple, deque)):
            return self._container(path, a, b) or self._attributes(path, a, b)
        if isinstance(a, (set, frozenset)):
            return None if a == b and all(isinstance(v, VALUES) for v in a) else here
        if not hasattr(a, "__dict__") and not slots_of(a):
            return here
        return self._attributes(path, a, b, top=top)

    def _varies(self, a: Any, b: Any) -> bool:
        """Return whether attributes that may differ do differ."""
        if self._skip is None:
            return False
        others = vars(b)
        return any(self._skip(n, v) and v != others.get(n) for n, v in vars(a).items())

    def _container(
        self, path: str, a: Any, b: Any, place_format: str = "{}[{!r}]"
    ) -> str | None:  # fmt: skip
        if len(a) != len(b):
            return path or "length"
        if isinstance(a, dict):
            if list(a) != list(b):
                return path or "keys"
            pairs = [(key, a[key], b[key]) for key in a]
        else:
            pairs = [(i, x, y) for i, (x, y) in enumerate(zip(a, b, strict=True))]
        places = (
            self.compare(place_format.format(path, key).lstrip("."), x, y) for key, x, y in pairs
        )  # fmt: skip
        return next((place for place in places if place), None)

    def _function(self, path: str, a: Any, b: Any) -> str | None:
        if isinstance(a, types.MethodType):
            parts = [(a.__func__, b.__func__), (a.__self__, b.__self__)]
        elif isinstance(a, functools.partial):
            parts = [(a.func, b.func), (a.args, b.args)]
            parts.append((a.keywords, b.keywords))
        else:
            if a.__code__ != b.__code__ or a.__globals__ is not b.__globals__:
                return path
            parts = [
                (a.__defaults__, b.__defaults__),
                (a.__kwdefaults__, b.__kwdefaults__),
                (vars(a), vars(b)),
                *(
                    (x.cell_contents, y.cell_contents)
                    for x, y in zip(a.__closure__ or (), b.__closure__ or (), strict=True)
                ),
            ]
        places = (self.compare(path, x, y) for x, y in parts)
        return next((path for place in places if place), None)

    def _attributes(self, path: str, a: Any, b: Any, *, top: bool = False) -> str | None:
        a_values, b_values = (dict(getattr(value, "__dict__", {})) for value in (a, b))
        for name in slots_of(a):
            a_values[name], b_values[name] = getattr(a, name, None), getattr(b, name, None)
        if a_values.keys() != b_values.keys():
            return f"{path}.{min(a_values.keys() ^ b_values.keys())}".lstrip(".")
        for name, value in a_values.items():
            if top and self._skip is not None and self._skip(name, value):
                continue
            at = f"{path}.{name}".lstrip(".")
            if isinstance(a, nn.Module):
                if name == "training":
                    continue
                if name == "_parameters":
                    place = self._parameters(path, value, b_values[name])
                elif name.endswith(HOOKS) and isinstance(value, dict):  # keys are serial numbers
                    place = self.compare(at, list(value.values()), list(b_values[name].values()))
                elif name in ("_buffers", "_modules"):
                    place = self._container(path, value, b_values[name], place_format="{}.{}")
                else:
                    place = self.compare(at, value, b_values[name])
            else:
                place = self.compare(at, value, b_values[name])
            if place:
                return place
        return None

    def _parameters(self, path: str, a: Any, b: Any) -> str | None:
        if list(a) != list(b):
            return path or "parameters"
        for name, value in a.items():
            b_value, at = b[name], f"{path}.{name}".lstrip(".")
            if (value is None) != (b_value is None):
                return at
            if value is None:
                continue
            if value.requires_grad and b_value.requires_grad:
                facts = [(p.shape, p.dtype, p.device) for p in (value, b_value)]
                if facts[0] != facts[1] or has_hooks(value) or has_hooks(b_value):
                    return at
                if self._trained.setdefault(id(value), b_value) is not b_value:
                    return at
            elif not _same_tensor(value, b_value):
                return at
        return None


def _same_tensor(a: Tensor, b: Tensor) -> bool:
    facts = [(t.shape, t.dtype, t.device, t.requires_grad, t.layout) for t in (a, b)]
    return facts[0] == facts[1] and same_values(a.detach(), b.detach())
