"""Python state that components keep outside what gdframe hands them: seen, and put back.

A model that counts its calls, a rule with a cache, a loss that draws from a generator of its own:
only the plain loop calls them as often as they expect. Before an engine calls a component to learn
about it, ``HiddenState`` notes everything mutable that the component can reach: attributes,
containers, buffers, closures, the globals its functions name, default arguments, class attributes
and random generators. Afterwards it says what has changed, and puts it back.
"""

from __future__ import annotations

import random
import sys
import types
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count as counting
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdframe.sameness import PLAIN, same, same_values

Restore = Callable[[], None]
Changed = Callable[[], bool]

LIBRARIES = ("torch", "numpy", "gdframe", "scipy", "pandas", "sklearn", "pyarrow", "numba")
"""Packages whose functions and classes are not looked into."""

DRAWS = "random numbers"


class HiddenState:
    """What components keep, as it is now.

    Args:
        roots: the components by what messages call them.
        draws: whether global random generators are noted too.

    Example:
        >>> calls = {"n": 0}
        >>> kept = HiddenState({"calls": calls})
        >>> calls["n"] += 1
        >>> kept.changed()
        "calls['n']"
        >>> kept.restore(); calls
        {'n': 0}
    """

    def __init__(self, roots: Mapping[str, Any], *, draws: bool = True) -> None:
        self._seen: set[int] = set()
        self._classes: set[int] = set()
        self._held: list[Any] = []  # so that no other object takes the place of one seen
        self._pending: deque[tuple[str, Any]] = deque()
        self._items: list[tuple[str, Changed, Restore]] = []
        self._modes: list[tuple[torch.nn.Module, bool]] = []
        self.opaque: str | None = None
        """What cannot be put back, such as an iterator; None where there is nothing."""
        for generator in (torch.default_generator, random, np.random.mtrand._rand) * draws:
            self._walk(DRAWS, generator)
        if draws and torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for generator in torch.cuda.default_generators:
                self._walk(DRAWS, generator)
        for name, root in roots.items():
            self._walk(name, root)
        while self._pending:
            self._look(*self._pending.popleft())

    def changed(self) -> str | None:
        """Return where something has changed since, in words; None if nothing has."""
        return next((path for path, has_changed, _ in self._items if has_changed()), None)

    def restore(self) -> None:
        """Put everything back."""
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

    def _walk(self, path: str, value: Any) -> None:
        """Have a value looked at, once."""
        if not isinstance(value, PLAIN) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._held.append(value)
            self._pending.append((path, value))

    def _look(self, path: str, value: Any) -> None:
        """Note what a value holds."""
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
            self._walk(path, value.__func__)
            self._walk(path, value.__self__)
        elif isinstance(value, (staticmethod, classmethod)):
            self._walk(path, value.__func__)
        elif isinstance(value, property):
            self._walk(path, value.fget)
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
            return  # a lazy parameter, or one of somebody else's kind
        kept, grad = value.detach().clone(), value.grad

        def restore() -> None:
            with torch.no_grad():
                value.copy_(kept)

        self._note(path, lambda: not same_values(value.detach(), kept), restore)
        if value.is_leaf and grad is not None:
            self._walk(f"{path}.grad", grad)

    def _array(self, path: str, value: np.ndarray[Any, Any]) -> None:
        kept = value.copy()

        def restore() -> None:
            value[...] = kept

        self._note(path, lambda: value.tobytes() != kept.tobytes(), restore)

    def _buffer(self, path: str, value: bytearray | array[Any]) -> None:
        kept = bytes(value)

        def restore() -> None:
            if isinstance(value, bytearray):
                value[:] = kept
            else:
                del value[:]
                value.frombytes(kept)

        self._note(path, lambda: bytes(value) != kept, restore)

    def _generator(self, path: str, value: Any) -> bool:
        """Note the state of a random generator; return whether it is one."""
        read: Any
        write: Any
        if isinstance(value, torch.Generator):
            read, write = value.get_state, value.set_state
        elif value is random or isinstance(value, random.Random):
            read, write = value.getstate, value.setstate
        elif isinstance(value, np.random.RandomState):
            read, write = value.get_state, value.set_state
        elif isinstance(value, np.random.Generator):
            bits = value.bit_generator
            read, write = (lambda: bits.state), (lambda state: setattr(bits, "state", state))
        else:
            return False
        kept = read()
        text = _state_text(kept)
        self._note(path, lambda: _state_text(read()) != text, lambda: write(kept))
        return True

    def _dict(self, path: str, value: dict[Any, Any], member: str | None = None) -> None:
        kept = dict(value)
        places = {k: member.format(k) if member else f"{path}[{k!r}]" for k in kept}

        def restore() -> None:
            value.clear()
            value.update(kept)

        for key in kept:
            self._note(places[key], lambda k=key: not same(value.get(k, value), kept[k]), restore)  # type: ignore[misc]
        self._note(path, lambda: value.keys() != kept.keys(), restore)
        for key, item in kept.items():
            self._walk(places[key], item)
        self._attributes(path, value)

    def _sequence(self, path: str, value: Any) -> None:
        kept = list(value)

        def has_changed() -> bool:
            return len(value) != len(kept) or any(
                not same(a, b) for a, b in zip(value, kept, strict=True)
            )

        def restore() -> None:
            if isinstance(value, list):
                value[:] = kept
            elif isinstance(value, set):
                value.clear()
                value.update(kept)
            else:
                value.clear()
                value.extend(kept)

        if isinstance(value, (list, set, deque)):
            self._note(path, has_changed, restore)
        for index, item in enumerate(kept):
            self._walk(f"{path}[{index}]", item)
        self._attributes(path, value)

    def _function(self, path: str, function: types.FunctionType) -> None:
        if _is_library(function.__module__):
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
            except ValueError:  # it is empty
                continue
            self._note(
                f"{path} {name}",
                lambda c=cell, v=content: not same(c.cell_contents, v),  # type: ignore[misc]
                lambda c=cell, v=content: setattr(c, "cell_contents", v),  # type: ignore[misc]
            )
            self._walk(f"{path} {name}", content)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._walk(f"{path} a default argument", value)
        self._dict(f"{path} attribute", vars(function))
        self._names(path, function.__globals__, names)
        for name in names & sys.modules.keys():  # which it imports when it is called
            self._module(f"{path} {name}", sys.modules[name], names)

    def _names(self, path: str, namespace: dict[str, Any], names: set[str]) -> None:
        """Note what some names stand for in a module, and those that are not there yet."""
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
                self._walk(f"{path} {name}", value)

    def _module(self, path: str, module: types.ModuleType, names: set[str]) -> None:
        """Note what of a module a function may name."""
        if not _is_library(module.__name__) and id(module) not in self._seen:
            self._seen.add(id(module))
            self._names(path, vars(module), names)

    def _class(self, path: str, kind: type) -> None:
        for owner in kind.__mro__:
            if owner is object or _is_library(owner.__module__) or id(owner) in self._classes:
                continue
            self._classes.add(id(owner))
            held = dict(vars(owner))
            kept = {k: v for k, v in held.items() if not k.startswith("__")}
            self._note(
                f"{path} {owner.__name__}",
                lambda o=owner, k=kept: bool(_added(o, k)),  # type: ignore[misc]
                lambda o=owner, k=kept: _remove(o, _added(o, k)),  # type: ignore[misc]
            )
            for name, value in kept.items():
                self._note(
                    f"{path} {owner.__name__}.{name}",
                    lambda o=owner, n=name, v=value: not same(vars(o).get(n), v),  # type: ignore[misc]
                    lambda o=owner, n=name, v=value: setattr(o, n, v),  # type: ignore[misc]
                )
                self._walk(f"{path} {owner.__name__}.{name}", value)
            for name, value in held.items():
                if name.startswith("__") and isinstance(value, types.FunctionType):
                    self._walk(path, value)

    def _object(self, path: str, value: Any) -> None:
        kind = type(value)
        self._attributes(path, value)
        for owner in kind.__mro__:
            slots = vars(owner).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name.startswith("__") or not hasattr(value, name):
                    continue
                held = getattr(value, name)
                self._note(
                    f"{path}.{name}",
                    lambda n=name, v=held: not same(getattr(value, n, None), v),  # type: ignore[misc]
                    lambda n=name, v=held: setattr(value, n, v),  # type: ignore[misc]
                )
                self._walk(f"{path}.{name}", held)
        self._class(path, kind)

    def _attributes(self, path: str, value: Any) -> None:
        """Note the attributes of an instance."""
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, dict) or id(attributes) in self._seen:
            return
        self._seen.add(id(attributes))
        kept = dict(attributes)
        inner = isinstance(value, torch.nn.Module)
        if isinstance(value, torch.nn.Module):  # its mode is set by whoever calls it
            self._modes.append((value, value.training))

        def restore() -> None:
            attributes.clear()
            attributes.update(kept)

        for name in kept:
            if inner and name == "training":
                continue
            at = f"{path}.{name}"
            self._note(at, lambda n=name: not same(attributes.get(n), kept[n]), restore)  # type: ignore[misc]
        self._note(path, lambda: attributes.keys() != kept.keys(), restore)
        for name, held in kept.items():
            if inner and name in ("_parameters", "_buffers", "_modules"):
                self._dict(path, held, member=f"{path}.{{}}")
            else:
                self._walk(f"{path}.{name}", held)


def undisturbed(**parts: Any) -> AbstractContextManager[Any]:
    """Return what puts back, on leaving, whatever components keep.

    Components of gdframe keep nothing, unless something was attached to them.
    """
    foreign = {name: part for name, part in parts.items() if not _keeps_nothing(part)}
    return HiddenState(foreign) if foreign else nullcontext()


def _keeps_nothing(part: Any) -> bool:
    if part is None:
        return True
    if not type(part).__module__.startswith("gdframe."):
        return False
    modules = part.modules() if isinstance(part, torch.nn.Module) else ()
    return not any(
        value for module in modules for name, value in vars(module).items() if "_hooks" in name
    )


def _is_library(module: str | None) -> bool:
    package = (module or "").partition(".")[0]
    return package in LIBRARIES or (package in sys.stdlib_module_names and package != "__main__")


def _added(owner: type, kept: Mapping[str, Any]) -> list[str]:
    """Return the names that a class has by now besides those it had.

    PyTorch wraps the ``step`` of a class of optimizers at its first instance.
    """
    names = vars(owner).keys() - kept.keys() - {"step"}
    return [name for name in names if not name.startswith("__")]


def _remove(owner: type, names: Sequence[str]) -> None:
    for name in names:
        delattr(owner, name)


def _state_text(state: Any) -> Any:
    """Return the state of a generator as a value that can be compared."""
    if isinstance(state, Tensor):
        return state.numpy().tobytes()
    if isinstance(state, tuple):
        return tuple(s.tobytes() if isinstance(s, np.ndarray) else s for s in state)
    return repr(state)
