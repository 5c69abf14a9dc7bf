"""Whether two components compute alike: everything they hold is compared."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gdframe.models.plain import has_hooks

VALUES = (
    bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size,
    range, slice, Enum,
)  # fmt: skip
HOOKS = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")


def first_difference(
    one: Any, other: Any, *, skip: Callable[[str, Any], bool] | None = None
) -> str | None:
    """Return where two objects differ, as a path from them; None where they are alike.

    Numbers, text, tensors and arrays are compared by value, containers and objects by what they
    hold, functions by their code and what that refers to. Trained parameters of modules are
    compared by shape and type alone. Objects that show nothing of what they hold are alike only if
    they are the same object.

    Args:
        one: an object.
        other: another one.
        skip: says which attributes of the two themselves may differ, by name and value.

    Example:
        >>> first_difference(nn.Linear(2, 3), nn.Linear(2, 3)) is None
        True
        >>> first_difference({"power": [1, 2]}, {"power": [1, 3]})
        "['power'][1]"
    """
    return _Comparison(skip).compare("", one, other, top=True)


class _Comparison:
    def __init__(self, skip: Callable[[str, Any], bool] | None) -> None:
        self._skip = skip
        self._met: set[tuple[int, int]] = set()
        self._top: tuple[int, int] | None = None

    def compare(self, path: str, one: Any, other: Any, *, top: bool = False) -> str | None:
        here = path or "type"
        if one is other:
            return None
        if type(one) is not type(other):
            return here
        if (id(one), id(other)) in self._met:
            # what holds the object itself sees the attributes that may differ
            is_top = (id(one), id(other)) == self._top
            return here if is_top and self._varies(one, other) else None
        if top:
            self._top = id(one), id(other)
        self._met.add((id(one), id(other)))
        if isinstance(one, VALUES):
            return None if one == other or (one != one and other != other) else here
        if isinstance(one, Tensor):
            return None if _same_tensor(one, other) else here
        if isinstance(one, np.ndarray):
            alike = (one.dtype, one.shape) == (other.dtype, other.shape)
            return None if alike and one.tobytes() == other.tobytes() else here
        if isinstance(one, np.generic):
            return None if one.tobytes() == other.tobytes() else here
        if isinstance(one, (types.FunctionType, types.MethodType, functools.partial)):
            return self._function(here, one, other)
        if isinstance(one, (type, types.ModuleType, types.BuiltinFunctionType)):
            return here
        if isinstance(one, (dict, list, tuple, deque)):
            return self._container(path, one, other) or self._attributes(path, one, other)
        if isinstance(one, (set, frozenset)):
            return None if one == other and all(isinstance(v, VALUES) for v in one) else here
        if not hasattr(one, "__dict__") and not _slots(one):
            return here
        return self._attributes(path, one, other, top=top)

    def _varies(self, one: Any, other: Any) -> bool:
        """Return whether attributes that may differ do differ."""
        if self._skip is None:
            return False
        others = vars(other)
        return any(self._skip(n, v) and v != others.get(n) for n, v in vars(one).items())

    def _container(
        self, path: str, one: Any, other: Any, member: str = "{}[{!r}]"
    ) -> str | None:  # fmt: skip
        if len(one) != len(other):
            return path or "length"
        if isinstance(one, dict):
            if list(one) != list(other):
                return path or "keys"
            pairs = [(key, one[key], other[key]) for key in one]
        else:
            pairs = [(i, a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))]
        found = (
            self.compare(member.format(path, key).lstrip("."), a, b) for key, a, b in pairs
        )  # fmt: skip
        return next((place for place in found if place), None)

    def _function(self, path: str, one: Any, other: Any) -> str | None:
        if isinstance(one, types.MethodType):
            parts = [(one.__func__, other.__func__), (one.__self__, other.__self__)]
        elif isinstance(one, functools.partial):
            parts = [(one.func, other.func), (one.args, other.args)]
            parts.append((one.keywords, other.keywords))
        else:
            if one.__code__ != other.__code__ or one.__globals__ is not other.__globals__:
                return path
            parts = [
                (one.__defaults__, other.__defaults__),
                (one.__kwdefaults__, other.__kwdefaults__),
                (vars(one), vars(other)),
                *(
                    (a.cell_contents, b.cell_contents)
                    for a, b in zip(one.__closure__ or (), other.__closure__ or (), strict=True)
                ),
            ]
        found = (self.compare(path, a, b) for a, b in parts)
        return next((path for place in found if place), None)

    def _attributes(self, path: str, one: Any, other: Any, *, top: bool = False) -> str | None:
        mine, others = (dict(getattr(value, "__dict__", {})) for value in (one, other))
        for name in _slots(one):
            mine[name], others[name] = getattr(one, name, None), getattr(other, name, None)
        if mine.keys() != others.keys():
            return f"{path}.{min(mine.keys() ^ others.keys())}".lstrip(".")
        for name, value in mine.items():
            if top and self._skip is not None and self._skip(name, value):
                continue
            at = f"{path}.{name}".lstrip(".")
            if isinstance(one, nn.Module):
                if name == "training":
                    continue
                if name == "_parameters":
                    place = self._parameters(path, value, others[name])
                elif name.endswith(HOOKS) and isinstance(value, dict):  # their keys only count up
                    place = self.compare(at, list(value.values()), list(others[name].values()))
                elif name in ("_buffers", "_modules"):
                    place = self._container(path, value, others[name], member="{}.{}")
                else:
                    place = self.compare(at, value, others[name])
            else:
                place = self.compare(at, value, others[name])
            if place:
                return place
        return None

    def _parameters(self, path: str, one: Any, other: Any) -> str | None:
        if list(one) != list(other):
            return path or "parameters"
        for name, value in one.items():
            twin, at = other[name], f"{path}.{name}".lstrip(".")
            if (value is None) != (twin is None):
                return at
            if value is None:
                continue
            if value.requires_grad and twin.requires_grad:
                facts = [(p.shape, p.dtype, p.device) for p in (value, twin)]
                if facts[0] != facts[1] or has_hooks(value) or has_hooks(twin):
                    return at
            elif not _same_tensor(value, twin):
                return at
        return None


def _slots(value: Any) -> list[str]:
    names: list[str] = []
    for owner in type(value).__mro__:
        slots = vars(owner).get("__slots__", ())
        names += (slots,) if isinstance(slots, str) else slots
    return [name for name in names if not name.startswith("__")]


def _same_tensor(one: Tensor, other: Tensor) -> bool:
    facts = [(t.shape, t.dtype, t.device, t.requires_grad, t.layout) for t in (one, other)]
    if facts[0] != facts[1]:
        return False
    with torch.no_grad():
        return torch.equal(one, other) or bool(
            ((one == other) | ((one != one) & (other != other))).all()
        )
