"""Saves and restores the Python state that components keep outside their arguments.

``HiddenState`` saves everything mutable that a component can reach: attributes, containers,
buffers, closures, globals that functions name, default arguments, class attributes and generators.
"""

from __future__ import annotations

import functools
import random
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdframe.hidden_state.cached_results import LRU_CACHE, cache_leaf, cached_results
from gdframe.hidden_state.leaves import HOOKS, LAYOUTS, Changed, Restore, leaf_of, tensor_leaf
from gdframe.hidden_state.transparency import (
    CLASS_FACTS,
    NOT_CALLED,
    OPAQUE,
    attributes_of,
    contents_of,
    delete_names,
    hides_state,
    imported_by,
    is_library,
    is_outside,
    names_in,
    new_names,
    reflection_in,
    slots_of,
)
from gdframe.sameness import PLAIN, same

DRAWS = "random numbers"

DATA = (*PLAIN, list, set, deque, MutableMapping)
"""Types of a library's globals that a component may use as its memory."""


class HiddenState:
    """A copy of the state that components keep, taken when it is constructed.

    Args:
        roots: the components, by the names that messages use for them.
        draws: whether global random generators are saved too.
        skip: objects that may change.
        code: whether what functions and classes keep is saved too.

    Example:
        >>> calls = {"n": 0}
        >>> saved = HiddenState({"calls": calls})
        >>> calls["n"] += 1
        >>> saved.changed()
        "calls['n']"
        >>> saved.restore(); calls
        {'n': 0}
    """

    def __init__(
        self, roots: Mapping[str, Any], *, draws: bool = True, skip: Iterable[object] = (),
        code: bool = True,
    ) -> None:  # fmt: skip
        self._seen, self._classes = set(map(id, skip)), set[int]()
        self._ignored = PLAIN if code else (*PLAIN, types.FunctionType, type)
        self._modules: dict[int, set[str]] = {}  # names that were saved, by module
        self._references: list[Any] = []  # keeps objects alive, so that their ids stay unique
        self._pending: deque[tuple[str, Any]] = deque()
        self._items: list[tuple[str, Changed, Restore]] = []
        self._modes: list[tuple[torch.nn.Module, bool]] = []
        self.opaque: str | None = None
        """The place of a value or code that hides its state, or None; ``unseen``: of a value."""
        self.unseen: str | None = None
        self.functions: list[tuple[str, types.FunctionType]] = []  # of users, which steps may call
        generators = [torch.default_generator, random, np.random.mtrand._rand]
        if draws and torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            generators += torch.cuda.default_generators
        for name, root in [*((DRAWS, g) for g in generators * draws), *roots.items()]:
            self._enqueue(name, root)
        while self._pending:
            path, value = self._pending.popleft()
            try:
                self._save(path, value)
            except Exception:  # a container may raise anything
                self._hide(path)

    def changed(self) -> str | None:
        """Return the first place that has changed, as a path; None if nothing has changed."""
        return next(self.changes(), None)

    def changes(self) -> Iterator[str]:
        """Yield each place that has changed, as a path."""
        return (path for path, has_changed, _ in self._items if has_changed())

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

    def _hide(self, path: str) -> None:
        self.opaque, self.unseen = self.opaque or path, self.unseen or path

    def _note(self, path: str, has_changed: Changed, restore: Restore) -> None:
        self._items.append((path, has_changed, restore))

    def _enqueue(self, path: str, value: Any) -> None:
        """Queue a value to be saved, once."""
        if not isinstance(value, self._ignored) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._references.append(value)
            self._pending.append((path, value))

    def _save(self, path: str, value: Any) -> None:
        """Save what a value holds."""
        if isinstance(value, Tensor):
            self._tensor(path, value)
        elif (leaf := leaf_of(value)) is not None:
            self._note(path, *leaf)
            if isinstance(value, np.ndarray) and value.dtype.hasobject:
                self._enqueue(path, value.tolist())
        elif isinstance(value, dict):
            self._dict(path, value)
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            self._sequence(path, value)
        elif isinstance(value, LRU_CACHE):
            self._cached_results(path, value)
        elif isinstance(value, OPAQUE) or (not isinstance(value, type) and is_outside(value)):
            self._hide(path)
        elif isinstance(value, types.FunctionType):
            self._function(path, value)
        elif isinstance(value, (types.MethodType, staticmethod, classmethod)):
            self._enqueue(path, value.__func__)
            self._enqueue(path, getattr(value, "__self__", None))
        elif isinstance(value, types.BuiltinMethodType):
            if not isinstance(value.__self__, types.ModuleType):
                self._enqueue(path, value.__self__)
        elif isinstance(value, property):
            for function in (value.fget, value.fset, value.fdel):
                self._enqueue(path, function)
        elif isinstance(value, functools.partial):
            self._enqueue(path, value.func)
            for name, part in (("args", value.args), ("keywords", value.keywords)):
                self._enqueue(f"{path}.{name}", part)
            self._attributes(path, value)
        elif isinstance(value, type):
            self._class(path, value)
        else:
            self._object(path, value)

    def _tensor(self, path: str, value: Tensor) -> None:
        if type(value) not in (Tensor, torch.nn.Parameter) or value.layout not in LAYOUTS:
            self._hide(path)  # a subclass from another library
            return
        self._note(path, *tensor_leaf(value))
        if value.is_leaf:
            trained = value.requires_grad
            self._note(
                f"{path}.requires_grad",
                lambda: value.requires_grad != trained,
                lambda: setattr(value, "requires_grad", trained),
            )
            for name in ("grad", *HOOKS):
                self._enqueue(f"{path}.{name}", getattr(value, name, None))  # None is not queued
        self._attributes(path, value)

    def _cached_results(self, path: str, function: Any) -> None:
        self._note(path, *cache_leaf(function))
        for content in (*cached_results(function), function.__wrapped__):
            self._enqueue(path, content)

    def _dict(self, path: str, value: dict[Any, Any], place_format: str | None = None) -> None:
        saved = dict(value)
        places = {k: place_format.format(k) if place_format else f"{path}[{k!r}]" for k in saved}

        def restore() -> None:
            value.clear()
            value.update(saved)

        for key in saved:
            self._note(places[key], lambda k=key: not same(value.get(k, value), saved[k]), restore)  # type: ignore[misc]
        self._note(path, lambda: list(value) != list(saved), restore)
        for key, item in saved.items():
            self._enqueue(places[key], item)
            self._enqueue(f"{path} a key", key)
        self._attributes(path, value)

    def _sequence(self, path: str, value: Any) -> None:
        saved = list(value)

        def has_changed() -> bool:
            return len(value) != len(saved) or any(
                not same(a, b) for a, b in zip(value, saved, strict=True)
            )

        def restore() -> None:
            value.clear()
            (value.update if isinstance(value, set) else value.extend)(saved)

        if isinstance(value, (list, set, deque)):
            self._note(path, has_changed, restore)
        for index, item in enumerate(saved):
            self._enqueue(f"{path}[{index}]", item)
        self._attributes(path, value)

    def _function(self, path: str, function: types.FunctionType) -> None:
        code, names = function.__code__, names_in(function.__code__)
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
            if isinstance(content, types.ModuleType):
                self._module(f"{path} {name}.", content, names)
            else:
                self._enqueue(f"{path} {name}", content)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._enqueue(f"{path} a default argument", value)
        self._dict(f"{path} attribute", vars(function))
        if is_library(function):  # a wrapper of a library holds what it wraps, seen above
            return
        if function.__name__ not in NOT_CALLED:
            self.functions.append((path, function))
            if hidden := reflection_in(function, names):
                self.opaque = self.opaque or f"{path} ({hidden})"
        self._names(path, function.__globals__, names)
        modules, unseen = imported_by(function, names)
        for name, module in modules.items():
            self._module(f"{path} {name}".rstrip(), module, names)
        if unseen is not None:
            self.opaque = self.opaque or f"{path} (imports {unseen})"

    def _names(
        self, path: str, namespace: dict[str, Any], names: set[str], kinds: Any = object
    ) -> None:
        """Save values of some kinds in a module, and record which names are not defined yet."""
        for name in names:
            if name not in namespace:
                if namespace.get("__builtins__") is not None:
                    self._note(
                        f"{path} {name}",
                        lambda n=name: n in namespace and isinstance(namespace[n], kinds),  # type: ignore[misc]
                        lambda n=name: namespace.pop(n, None),  # type: ignore[misc]
                    )
                continue
            if not isinstance(value := namespace[name], kinds):
                continue
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
        done = self._modules.setdefault(id(module), set())
        names = {*vars(module)} if "getattr" in names and not is_library(module) else names - done
        done |= names
        self._names(path, vars(module), names, DATA if is_library(module) else object)

    def _class(self, path: str, kind: type) -> None:
        for owner in kind.__mro__ + type(kind).__mro__:  # type: ignore[operator]
            if owner is object or is_library(owner) or id(owner) in self._classes:
                continue
            self._classes.add(id(owner))
            saved = {k: v for k, v in vars(owner).items() if k not in CLASS_FACTS}
            self._note(
                f"{path} {owner.__name__}",
                lambda o=owner, k=[*saved]: bool(new_names(o, k)),  # type: ignore[misc]
                lambda o=owner, k=[*saved]: delete_names(o, new_names(o, k)),  # type: ignore[misc]
            )
            for name, value in saved.items():
                at = f"{path} {owner.__name__}.{name}"
                self._note(
                    at,
                    lambda o=owner, n=name, v=value: not same(vars(o).get(n), v),  # type: ignore[misc]
                    lambda o=owner, n=name, v=value: setattr(o, n, v),  # type: ignore[misc]
                )
                if name != "_abc_impl":
                    self._enqueue(at, value)

    def _object(self, path: str, value: Any) -> None:
        if hides_state(value):
            self._hide(path)
        for content in contents_of(value):
            self._enqueue(path, content)
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
        self._enqueue(path, type(value))

    def _attributes(self, path: str, value: Any) -> None:
        """Save the attributes of an instance."""
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, dict) or id(attributes) in self._seen:
            return
        self._seen.add(id(attributes))
        saved = attributes_of(attributes)
        inner = isinstance(value, torch.nn.Module)
        if inner:  # callers set its mode, so a change is not reported
            self._modes.append((value, value.training))

        def restore() -> None:
            attributes.clear()
            attributes.update(saved)

        for name in saved:
            if inner and name == "training":
                continue
            at = f"{path}.{name}"
            self._note(at, lambda n=name: not same(attributes.get(n), saved[n]), restore)  # type: ignore[misc]
        self._note(path, lambda: list(attributes_of(attributes)) != list(saved), restore)
        for name, content in saved.items():
            if not inner or name not in ("_parameters", "_buffers", "_modules"):
                self._enqueue(f"{path}.{name}", content)
                continue
            if not isinstance(content, dict):  # of a scripted module, which hides attributes in C++
                self._hide(path)
                content = dict(content.items())
            self._dict(path, content, place_format=f"{path}.{{}}")
