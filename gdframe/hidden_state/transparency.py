"""Decides where a search for hidden state looks: code of users, and values that show their state.

Code of Python and of the libraries below is known to keep no state that a component may use as its
memory. A file counts as such code by its folder, not by the name of its module.
"""

from __future__ import annotations

import datetime
import decimal
import dis
import gc
import importlib.util
import itertools
import logging
import operator
import os
import re
import struct
import sys
import threading
import types
import typing
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdframe.registry.origins import bears_another_name

LIBRARIES = ("torch", "numpy", "gdframe", "scipy", "pandas", "sklearn", "pyarrow", "numba")
"""Packages whose functions and classes are not searched for state."""

NOT_SEARCHED = sys.stdlib_module_names | set(LIBRARIES)
"""Modules that code may import without their state being looked at."""

_SITES = {Path(str(package.__file__)).parent.parent for package in (torch, np)}
_FOLDERS = (
    *(f"{site / name}{os.sep}" for site in _SITES for name in LIBRARIES),
    f"{Path(__file__).parents[1]}{os.sep}",
)
_PYTHON = f"{Path(os.__file__).parent}{os.sep}"

SHOWN = (
    range, slice, type(...), type(NotImplemented), re.Pattern, struct.Struct, weakref.ref,
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.MethodWrapperType, types.ClassMethodDescriptorType, types.GetSetDescriptorType,
    types.MemberDescriptorType, types.CodeType, types.GenericAlias, types.UnionType,
    types.MappingProxyType, types.SimpleNamespace, BaseException, decimal.Decimal, datetime.date,
    datetime.time, datetime.timedelta, datetime.tzinfo, operator.itemgetter, operator.attrgetter,
    operator.methodcaller, type(threading.Lock()),
    type(threading.RLock()), np.ufunc, np.dtype, np.generic, torch.layout, torch.memory_format,
    torch.finfo, torch.iinfo, torch.jit.ScriptFunction, typing.TypeVar,
)  # fmt: skip
"""Types written in C whose values never change, or show in attributes all that may change."""

OPAQUE = (Iterator, type(itertools.count()), types.ModuleType)
"""Types whose state nothing shows."""

REFLECTION = {
    "globals", "vars", "exec", "eval", "__import__", "setattr", "delattr", "open", "input",
}  # fmt: skip
"""Functions by which code reaches values that it does not name: modules, frames, files."""

REFLECTING = {
    "import_module", "__dict__", "__globals__", "__closure__", "__builtins__", "_getframe",
    "currentframe", "get_objects", "get_referents", "read_text", "write_text", "read_bytes",
    "write_bytes", "exists", "is_file", "is_dir", "iterdir", "stat",
}  # fmt: skip
"""Names by which code does so, of functions and of attributes."""

OUTSIDE = {
    "os", "posix", "nt", "posixpath", "ntpath", "genericpath", "pathlib", "glob", "shutil", "io",
    "_io", "tempfile", "fileinput", "mmap", "fcntl", "time", "datetime", "_datetime", "calendar",
    "uuid", "secrets", "socket", "_socket", "select", "ssl", "http", "urllib", "requests",
    "subprocess", "multiprocessing", "threading", "_thread", "asyncio", "signal", "_signal",
    "resource", "psutil", "platform", "locale", "gc", "inspect", "readline", "sqlite3", "shelve",
}  # fmt: skip
"""Modules that reach what is outside a process's values: the clock, files, other processes."""

NOT_CALLED = {
    "__init__", "__new__", "__init_subclass__", "__setstate__", "__getstate__", "__reduce__",
    "__deepcopy__", "__repr__", "__str__", "__setattr__", "extra_repr", "reset_parameters",
}  # fmt: skip
"""Functions of a class that no step calls."""

_PLAIN_BASES = (object, int, float, complex, str, bytes, tuple, dict, list, set, frozenset)

HEAP_TYPE, IMMUTABLE_TYPE = 1 << 9, 1 << 8
"""Flags of classes: not compiled into an extension; not to be changed, as C classes are."""

CLASS_FACTS = (
    "__annotations__", "__dataclass_fields__", "__dict__", "__doc__", "__weakref__",
    "__slotnames__",
)  # fmt: skip
"""Names of a class that Python sets, and changes when it likes."""

COMPILER_FACTS = ("_dynamo_", "_torchdynamo_")
"""Beginnings of names of attributes that PyTorch's compiler sets on what it traces."""


def attributes_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes in a ``__dict__``, without those that PyTorch's compiler sets."""
    return {k: v for k, v in values.items() if not str(k).startswith(COMPILER_FACTS)}


def is_library(value: types.FunctionType | type | types.ModuleType) -> bool:
    """Return whether a function, class or module is of Python itself or of ``LIBRARIES``."""
    if isinstance(value, types.FunctionType):
        return _is_library_file(value.__code__.co_filename)
    if isinstance(value, type):
        if bears_another_name(value):
            return False
        module = sys.modules.get(value.__module__)
    else:
        module = value
    file = getattr(module, "__file__", None)
    if file is not None:
        return _is_library_file(file)
    return getattr(getattr(module, "__spec__", None), "origin", None) in ("built-in", "frozen")


@lru_cache(maxsize=4096)
def _is_library_file(file: str) -> bool:
    if file.startswith(_FOLDERS) or file.startswith("<frozen "):
        return True
    inner = file.removeprefix(_PYTHON)
    return inner != file and not inner.startswith(("site-packages", "dist-packages"))


def is_outside(value: Any) -> bool:
    """Return whether a module, a class or a function reaches what is outside the values."""
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] in OUTSIDE
    kinds = (type, types.FunctionType, types.BuiltinFunctionType)
    module = getattr(value, "__module__", None) if isinstance(value, kinds) else None
    return isinstance(module, str) and module.partition(".")[0] in OUTSIDE


def hides_state(value: Any) -> bool:
    """Return whether a value may keep state in C that its attributes do not show."""
    if isinstance(value, (*SHOWN, logging.Logger)):
        return False
    return any(_is_compiled(owner) for owner in type(value).__mro__ if owner not in _PLAIN_BASES)


def _is_compiled(owner: type) -> bool:
    """Return whether a class is written in C."""
    if not owner.__flags__ & HEAP_TYPE or owner.__flags__ & IMMUTABLE_TYPE:
        return True
    file = getattr(sys.modules.get(owner.__module__), "__file__", None) or ""
    return file.endswith(tuple(EXTENSION_SUFFIXES))


def contents_of(value: Any) -> list[Any]:
    """Return what a value written in C holds and no attribute shows, such as a reference."""
    if isinstance(value, weakref.ref):
        return [value()]
    if isinstance(value, (types.MappingProxyType, types.MethodWrapperType, BaseException)):
        held = gc.get_referents(value)
        return [v for v in held if not isinstance(v, (type, types.ModuleType, types.TracebackType))]
    return []


def reflection_in(function: types.FunctionType, names: set[str]) -> str | None:
    """Return a name by which a function reaches values that it does not name; None without one.

    Args:
        function: its globals and the modules it imports are looked at.
        names: that it uses.
    """
    hidden, known = names & REFLECTING, function.__globals__
    hidden_globals = {n for n in names if n in REFLECTION or is_outside(known.get(n))}
    if hidden_globals:  # an attribute may have such a name
        hidden |= _named_by(function.__code__, ("LOAD_GLOBAL", "LOAD_NAME")) & hidden_globals
    if {"sys", "modules"} <= names:
        hidden.add("modules")
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    hidden |= {name for name, cell in cells if _is_full(cell) and is_outside(cell.cell_contents)}
    if names & OUTSIDE:
        imported = _named_by(function.__code__, ("IMPORT_NAME",))
        hidden |= {name.partition(".")[0] for name in imported} & OUTSIDE
    return min(hidden, default=None)


def _is_full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _named_by(code: types.CodeType, operations: Sequence[str]) -> set[str]:
    """Return the names that operations of code and of the functions in it have as arguments."""
    names = {str(s.argval) for s in dis.get_instructions(code) if s.opname in operations}
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return names.union(*(_named_by(part, operations) for part in inner))


def names_in(code: types.CodeType) -> set[str]:
    """Return the names that code and the functions in it use: globals, modules and attributes."""
    names, codes = set[str](), [code]
    while codes:
        part = codes.pop()
        names.update(part.co_names)
        codes += [c for c in part.co_consts if isinstance(c, types.CodeType)]
    return names


def imported_by(
    function: types.FunctionType, names: set[str]
) -> tuple[dict[str, types.ModuleType], str | None]:
    """Return the modules that a function imports when it is called.

    A user's module is imported now: its state must be known before the function is tried.

    Args:
        function: its package completes relative imports.
        names: that its code uses.

    Returns:
        The modules by their names in the code; and the name of one that cannot be imported, or
        None.
    """
    package = function.__globals__.get("__package__") or ""
    parts = package.split(".") if package else []
    parents = ["", *(f"{'.'.join(parts[:count])}." for count in range(len(parts), 0, -1))]
    named, parts_of_packages = _imports_in(function.__code__)
    missing = None
    for name in named - {""}:
        paths = [parent + name for parent in parents]
        is_known = name.partition(".")[0] in NOT_SEARCHED or any(map(_imports, paths))
        missing = missing if is_known else name
    for parent in parents[1:] if "" in named else ():  # from . import NAME
        for name in parts_of_packages:
            _imports(parent + name)
    modules = {
        name: sys.modules[path]
        for parent in reversed(parents)  # an absolute name comes last, and wins
        for name in names
        if (path := (parent + name).rstrip(".")) in sys.modules
    }
    return modules, missing


@lru_cache(maxsize=4096)
def _imports_in(code: types.CodeType) -> tuple[set[str], set[str]]:
    """Return the modules that code imports, and what it imports from modules."""
    return _named_by(code, ("IMPORT_NAME",)), _named_by(code, ("IMPORT_FROM",))


def _imports(path: str) -> bool:
    """Import a module if it exists; return whether it is imported."""
    with suppress(Exception):  # of a user's module, which may raise anything
        if path not in sys.modules and importlib.util.find_spec(path) is not None:
            importlib.import_module(path)
    return path in sys.modules


def slots_of(value: Any) -> list[str]:
    """Return the names of the slots of a value's class, but for those that a property hides."""
    names: list[str] = []
    for owner in type(value).__mro__:
        slots = vars(owner).get("__slots__", ())
        names += (slots,) if isinstance(slots, str) else slots
    kind = type(value)
    return [n for n in names if isinstance(getattr(kind, n, None), types.MemberDescriptorType)]


def new_names(owner: type, known: Sequence[str]) -> list[str]:
    """Return the names that a class has gained since it had the ``known`` ones.

    ``step`` is left out: PyTorch wraps it when an optimizer class gets its first instance.
    """
    return list(vars(owner).keys() - {*known, *CLASS_FACTS, "step"})


def delete_names(owner: type, names: Sequence[str]) -> None:
    """Delete names from a class."""
    for name in names:
        delattr(owner, name)
