"""Where a class or a function is defined, whatever name of a module it bears.

``functools.wraps`` copies the name of the module to a wrapper, which is code of somebody else.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

LIBRARIES = ("torch.", "numpy.", "functools", "contextlib")
"""Modules whose wrappers, such as ``torch.no_grad``, call what they wrap and do nothing else."""


def module_of(value: object) -> str:
    """Return the name of the module that defines a function, a class or the class of an instance.

    It is empty for a class that bears the name of another one, as a wrapper of it does.

    Example:
        >>> module_of(module_of), module_of(3)
        ('gdframe.registry.origins', 'builtins')
    """
    if isinstance(value, (staticmethod, classmethod, types.MethodType)):
        return module_of(value.__func__)
    if isinstance(value, types.FunctionType):
        name = str(value.__globals__.get("__name__", ""))
        if name.startswith(LIBRARIES) and hasattr(value, "__wrapped__"):
            return module_of(value.__wrapped__)
        return name
    if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)):
        return str(getattr(value, "__module__", None) or "")
    kind = value if isinstance(value, type) else type(value)
    return "" if bears_another_name(kind) else str(kind.__module__)


def bears_another_name(kind: type) -> bool:
    """Return whether a class has the name and the module of another class."""
    known: Any = sys.modules.get(str(kind.__module__))
    for part in kind.__qualname__.split("."):
        known = getattr(known, "__dict__", {}).get(part)
    return isinstance(known, type) and known is not kind


def is_built_in(component: object) -> bool:
    """Return whether a class, a function, or the class of an instance is part of gdframe.

    Example:
        >>> is_built_in(is_built_in), is_built_in(dict)
        (True, False)
    """
    return module_of(component).startswith("gdframe.")


def origin(component: Callable[..., Any]) -> str:
    """Return where a component is defined: ``gdframe.optimizers.adam`` or a file path."""
    if is_built_in(component):
        return component.__module__
    name = module_of(component) or component.__module__
    try:
        return f"{name} ({inspect.getfile(component)})"
    except (TypeError, OSError):
        return name
