"""Checks that a component's declarations, such as its kernel, belong to its definition."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import math
import textwrap
import types
from collections.abc import Sequence
from typing import Any

from gdframe.registry import is_built_in


def declares(component: object, declaration: str, definition: str) -> bool:
    """Return whether a declaration is in the class of the method that it describes, or a subclass.

    A subclass that overrides the definition alone makes an inherited declaration wrong.

    Args:
        component: a loss or a penalty.
        declaration: name of an attribute such as ``kernel``.
        definition: name of the method that the declaration describes, such as ``__call__``.
    """
    if getattr(component, declaration, None) is None:
        return False
    places = [_place(component, name) for name in (declaration, definition)]
    return places[0] <= places[1]


def _place(component: object, name: str) -> int:
    """Return the position in the MRO of the class that defines a name; -1 for the instance."""
    if name in vars(component):
        return -1
    classes = type(component).__mro__
    return next(i for i, owner in enumerate(classes) if name in vars(owner))


def why_not_kernel(components: Sequence[Any], what: str, fixed: int) -> str | None:
    """Return why loops cannot be written out for the kernel of a run group, or None.

    Args:
        components: the loss, or the penalty, of each run; they declare a kernel.
        what: the component in messages.
        fixed: arguments of the kernel before its ``kernel_arguments``.
    """
    kernel = components[0].kernel
    if not isinstance(kernel, types.FunctionType):
        return f"the kernel of {what} is not a static method"
    count = len(inspect.signature(kernel).parameters) - fixed
    if any(len(component.kernel_arguments) != count for component in components):
        return f"the kernel of {what} does not take its kernel_arguments"
    others = {getattr(component.kernel, "__code__", None) for component in components}
    if others != {kernel.__code__}:
        return f"the runs differ in the kernel of {what}, which must be equal in a run group"
    if is_built_in(kernel):
        return None
    names, known = kernel.__globals__, {**vars(builtins), "math": math}
    for name in _outer_names(kernel.__code__):
        if name not in known or (names.get(name, known[name]) is not known[name]):
            return (
                f"the kernel of {what} uses '{name}': a kernel may use the module math, and no "
                "other names from outside"
            )
    if not _is_its_source(kernel):
        return f"the kernel of {what} is not what its source says: it is wrapped, or was edited"
    return None


def _is_its_source(kernel: types.FunctionType) -> bool:
    """Return whether a function is what its source says: no wrapper, and no edited file."""
    code = kernel.__code__
    try:
        source = textwrap.dedent(inspect.getsource(kernel))
        if not isinstance(ast.parse(source).body[0], ast.FunctionDef):
            return False
        # Python compiles calls of an imported module's functions differently
        modules = [
            compile(i + source, "", "exec", dont_inherit=True) for i in ("", "import math\n")
        ]
    except (OSError, SyntaxError):
        return False
    return any(
        (part.co_code, part.co_names, part.co_varnames, part.co_consts)
        == (code.co_code, code.co_names, code.co_varnames, code.co_consts)
        for module in modules
        for part in module.co_consts
        if isinstance(part, types.CodeType)
    )


def _outer_names(code: types.CodeType) -> set[str]:
    """Return the names from outside that code reads."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = (_outer_names(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return names.union(code.co_freevars, *inner)
