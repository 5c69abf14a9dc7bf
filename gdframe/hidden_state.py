"""Saves and restores the Python state that components keep outside their arguments.

Examples are a model that counts its calls, a rule with a cache, and a loss with its own generator.
``HiddenState`` saves everything mutable that a component can reach: attributes, containers,
buffers, closures, globals that functions name, default arguments, class attributes and generators.
"""

from __future__ import annotations

import random
import sys
import types
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import count as counting
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdframe.sameness import (
    PLAIN,
    delete_names,
    generator_access,
    is_library,
    is_stateless,
    new_names,
    same,
    same_values,
    slots_of,
    state_text,
)

Restore = Callable[[], None]
Changed = Callable[[], bool]

DRAWS = "random numbers"


class HiddenState:
    """A copy of the state that components keep, taken when it is constructed.

    Args:
        roots: the components, by the names that messages use for them.
        draws: whether global random generators are saved too.

    Example:
        >>> calls = {"n": 0}
        >>> saved = HiddenState({"calls": calls})
        >>> calls["n"] += 1
        >>> saved.changed()
        "calls['n']"
        >>> saved.restore(); calls
        {'n': 0}
    """

    def __init__(self, roots: Mapping[str, Any], *, draws: bool = True) -> None:
        self._seen: set[int] = set()
        self._classes: set[int] = set()
        self._references: list[Any] = []  # keeps objects alive, so that their ids stay unique
        self._pending: deque[tuple[str, Any]] = deque()
        self._items: list[tuple[str, Changed, Restore]] = []
        self._modes: list[tuple[torch.nn.Module, bool]] = []
        self.opaque: str | None = None
        """The place of a value that cannot be restored, such as an iterator; None without one."""
        for generator in (torch.default_generator, random, np.random.mtrand._rand) * draws:
            self._enqueue(DRAWS, generator)
        if draws and torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for generator in torch.cuda.default_generators:
                self._enqueue(DRAWS, generator)
        for name, root in roots.items():
            self._enqueue(name, root)
        while self._pending:
            self._save(*self._pending.popleft())

    def changed(self) -> str | None:
        """Return the first place that has changed, as a path; None if nothing has changed."""
        return next((path for path, has_changed, _ in self._items if has_changed()), None)

    def restore(self) -> None:
        """Restore all saved values."""
        for _, has_changed, restore in self._items:
            if has_changed():
                restore()
        for module, training in self._modes:
            module.training = training

    def __enter__(self) -> HiddenState:
        return self

    def __exit__(self, *error: object) -> None:
        self.restore()

    def _note(self, path: str, has_changed: Changed, restore: Restore) -> None:
        self._items.append((path, has_changed, restore))

    def _enqueue(self, path: str, value: Any) -> None:
        """Queue a value to be saved, once."""
        if not isinstance(value, PLAIN) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._references.append(value)
            self._pending.append((path, value))

    def _save(self, path: str, value: Any) -> None:
        """Save what a value holds."""
        if isinstance(value, Tensor):
            self._tensor(path, value)
        elif isinstance(value, np.ndarray):
            self._array(path, value)
        elif self._generator(path, value):
            pass
        elif isinstance(value, dict):
            self._dict(path, value)
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            self._sequence(path, value)
        elif isinstance(value, (bytearray, array)):
            self._buffer(path, value)
        elif isinstance(value, types.FunctionType):
            self._function(path, value)
        elif isinstance(value, types.MethodType):
            self._enqueue(path, value.__func__)
            self._enqueue(path, value.__self__)
        elif isinstance(value, (staticmethod, classmethod)):
            self._enqueue(path, value.__func__)
        elif isinstance(value, property):
            self._enqueue(path, value.fget)
        elif isinstance(value, type):
            self._class(path, value)
        elif isinstance(value, types.ModuleType):
            pass
        elif isinstance(value, (Iterator, type(counting()))):
            self.opaque = self.opaque or path
        else:
            self._object(path, value)

    def _tensor(self, path: str, value: Tensor) -> None:
        if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided:
            return  # a lazy parameter, or a subclass from another library
        saved, grad = value.detach().clone(), value.grad

        def restore() -> None:
            with torch.no_grad():
                value.copy_(saved)

        self._note(path, lambda: not same_values(value.detach(), saved), restore)
        if value.is_leaf and grad is not None:
            self._enqueue(f"{path}.grad", grad)

    def _array(self, path: str, value: np.ndarray[Any, Any]) -> None:
        saved = value.copy()

        def restore() -> None:
            value[...] = saved

        self._note(path, lambda: value.tobytes() != saved.tobytes(), restore)

    def _buffer(self, path: str, value: bytearray | array[Any]) -> None:
        saved = bytes(value)

        def restore() -> None:
            if isinstance(value, bytearray):
                value[:] = saved
            else:
                del value[:]
                value.frombytes(saved)

        self._note(path, lambda: bytes(value) != saved, restore)

    def _generator(self, path: str, value: Any) -> bool:
        """Save the state of a random generator; return whether the value is a generator."""
        access = generator_access(value)
        if access is None:
            return False
        read, write = access
        saved = read()
        text = state_text(saved)
        self._note(path, lambda: state_text(read()) != text, lambda: write(saved))
        return True

    def _dict(self, path: str, value: dict[Any, Any], place_format: str | None = None) -> None:
        saved = dict(value)
        places = {k: place_format.format(k) if place_format else f"{path}[{k!r}]" for k in saved}

        def restore() -> None:
            value.clear()
            value.update(saved)

        for key in saved:
            self._note(places[key], lambda k=key: not same(value.get(k, value), saved[k]), restore)  # type: ignore[misc]
        self._note(path, lambda: value.keys() != saved.keys(), restore)
        for key, item in saved.items():
            self._enqueue(places[key], item)
        self._attributes(path, value)

    def _sequence(self, path: str, value: Any) -> None:
        saved = list(value)

        def has_changed() -> bool:
            return len(value) != len(saved) or any(
                not same(a, b) for a, b in zip(value, saved, strict=True)
            )

        def restore() -> None:
            if isinstance(value, list):
                value[:] = saved
            elif isinstance(value, set):
                value.clear()
                value.update(saved)
            else:
                value.clear()
                value.extend(saved)

        if isinstance(value, (list, set, deque)):
            self._note(path, has_changed, restore)
        for index, item in enumerate(saved):
            self._enqueue(f"{path}[{index}]", item)
        self._attributes(path, value)

    def _function(self, path: str, function: types.FunctionType) -> None:
        if is_library(function.__module__):
            return
        code, names = function.__code__, set[str]()
        codes = [code]
        while codes:
            part = codes.pop()
            names.update(part.co_names)
            codes += [c for c in part.co_consts if isinstance(c, types.CodeType)]
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # the cell is empty
                continue
            self._note(
                f"{path} {name}",
                lambda c=cell, v=content: not same(c.cell_contents, v),  # type: ignore[misc]
                lambda c=cell, v=content: setattr(c, "cell_contents", v),  # type: ignore[misc]
            )
            self._enqueue(f"{path} {name}", content)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._enqueue(f"{path} a default argument", value)
        self._dict(f"{path} attribute", vars(function))
        self._names(path, function.__globals__, names)
        for name in names & sys.modules.keys():  # modules that the function imports when called
            self._module(f"{path} {name}", sys.modules[name], names)

    def _names(self, path: str, namespace: dict[str, Any], names: set[str]) -> None:
        """Save the values of names in a module, and record which names are not defined yet."""
        for name in names:
            if name not in namespace:
                if namespace.get("__builtins__") is not None:
                    self._note(
                        f"{path} {name}",
                        lambda n=name: n in namespace,  # type: ignore[misc]
                        lambda n=name: namespace.pop(n, None),  # type: ignore[misc]
                    )
                continue
            value = namespace[name]
            self._note(
                f"{path} {name}",
                lambda n=name, v=value: not same(namespace.get(n), v),  # type: ignore[misc]
                lambda n=name, v=value: namespace.__setitem__(n, v),  # type: ignore[misc]
            )
            if isinstance(value, types.ModuleType):
                self._module(f"{path} {name}.", value, names)
            else:
                self._enqueue(f"{path} {name}", value)

    def _module(self, path: str, module: types.ModuleType, names: set[str]) -> None:
        """Save the values in a module that a function may name."""
        if not is_library(module.__name__) and id(module) not in self._seen:
            self._seen.add(id(module))
            self._names(path, vars(module), names)

    def _class(self, path: str, kind: type) -> None:
        for owner in kind.__mro__:
            if owner is object or is_library(owner.__module__) or id(owner) in self._classes:
                continue
            self._classes.add(id(owner))
            attributes = dict(vars(owner))
            saved = {k: v for k, v in attributes.items() if not k.startswith("__")}
            self._note(
                f"{path} {owner.__name__}",
                lambda o=owner, k=saved: bool(new_names(o, k)),  # type: ignore[misc]
                lambda o=owner, k=saved: delete_names(o, new_names(o, k)),  # type: ignore[misc]
            )
            for name, value in saved.items():
                self._note(
                    f"{path} {owner.__name__}.{name}",
                    lambda o=owner, n=name, v=value: not same(vars(o).get(n), v),  # type: ignore[misc]
                    lambda o=owner, n=name, v=value: setattr(o, n, v),  # type: ignore[misc]
                )
                self._enqueue(f"{path} {owner.__name__}.{name}", value)
            for name, value in attributes.items():
                if name.startswith("__") and isinstance(value, types.FunctionType):
                    self._enqueue(path, value)

    def _object(self, path: str, value: Any) -> None:
        self._attributes(path, value)
        for name in slots_of(value):
            if not hasattr(value, name):
                continue
            content = getattr(value, name)
            self._note(
                f"{path}.{name}",
                lambda n=name, v=content: not same(getattr(value, n, None), v),  # type: ignore[misc]
                lambda n=name, v=content: setattr(value, n, v),  # type: ignore[misc]
            )
            self._enqueue(f"{path}.{name}", content)
        self._class(path, type(value))

    def _attributes(self, path: str, value: Any) -> None:
        """Save the attributes of an instance."""
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, dict) or id(attributes) in self._seen:
            return
        self._seen.add(id(attributes))
        saved = dict(attributes)
        inner = isinstance(value, torch.nn.Module)
        if isinstance(value, torch.nn.Module):  # callers set its mode, so a change is not reported
            self._modes.append((value, value.training))

        def restore() -> None:
            attributes.clear()
            attributes.update(saved)

        for name in saved:
            if inner and name == "training":
                continue
            at = f"{path}.{name}"
            self._note(at, lambda n=name: not same(attributes.get(n), saved[n]), restore)  # type: ignore[misc]
        self._note(path, lambda: attributes.keys() != saved.keys(), restore)
        for name, content in saved.items():
            if inner and name in ("_parameters", "_buffers", "_modules"):
                self._dict(path, content, place_format=f"{path}.{{}}")
            else:
                self._enqueue(f"{path}.{name}", content)


def undisturbed(**parts: Any) -> AbstractContextManager[Any]:
    """Return a context manager that restores the state of components when it exits.

    Components of gdframe keep no state, unless a user has attached hooks to them.
    """
    foreign = {name: part for name, part in parts.items() if not is_stateless(part)}
    return HiddenState(foreign) if foreign else nullcontext()
