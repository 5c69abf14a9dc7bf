"""Reads the arguments of constructors, and checks values against their annotations."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gdframe.errors import UserError, bad_value, in_words, unknown

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Argument:
    """An argument of a component: name, resolved type, default (``REQUIRED`` if none)."""

    name: str
    annotation: Any
    default: Any


def arguments(component: Callable[..., Any]) -> dict[str, Argument]:
    """Return the arguments of a class or function, in the order of its signature.

    Raises:
        UserError: the component takes ``*args`` or ``**kwargs``, which a config cannot name.
    """
    return dict(_arguments(component))


@cache
def _arguments(component: Callable[..., Any]) -> dict[str, Argument]:
    function = component.__init__ if inspect.isclass(component) else component
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # an annotation that cannot be resolved leaves its argument untyped
        hints = {}
    accepted = {}
    for parameter in inspect.signature(component).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            name = getattr(component, "__name__", repr(component))
            raise UserError(
                f"{name} takes {parameter}: a component names each of its arguments, "
                "so that a config can set it"
            )
        annotation = hints.get(parameter.name, Any)
        accepted[parameter.name] = Argument(parameter.name, annotation, parameter.default)
    return accepted


def check_arguments(
    key: str, accepted: Mapping[str, Argument], values: Mapping[str, Any],
    left_out: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return ``values`` with numbers converted to the annotated types.

    Args:
        key: of the component in messages, such as ``optimizer`` or ``stopping.early``.
        accepted: arguments of the component.
        values: values to check.
        left_out: arguments that a run supplies and the component does not take, for the message.

    Raises:
        UserError: an argument is unknown or missing, or a value has the wrong type.
    """
    checked = {}
    for name, value in values.items():
        if name not in accepted:
            raise unknown(f"{key}.{name}={shown(value)}", "setting", name, accepted)
        checked[name] = fitted(f"{key}.{name}", value, accepted[name].annotation)
    missing = [a.name for a in accepted.values() if a.default is REQUIRED and a.name not in values]
    if missing:
        others = f"; a run supplies {in_words(left_out)}, under these names" if left_out else ""
        raise UserError(f"{key} needs {in_words(missing)}{others}")
    return checked


def fitted(key: str, value: Any, annotation: Any) -> Any:
    """Return ``value`` converted to the type of an annotation.

    Args:
        key: of the value in messages.
        value: as the user gave it.
        annotation: of the argument.

    Raises:
        UserError: the value has another type.
    """
    fits, converted = fit(value, annotation)
    if not fits:
        expected = describe(annotation)
        needs_brackets = "a list" in expected and isinstance(value, (str, int, float))
        example = f"write {key}=[{shown(value)}]" if needs_brackets else ""
        raise bad_value(f"{key}={shown(value)}", expected, example)
    return converted


def shown(value: Any) -> str:
    """Return a value as it is typed on the command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(shown, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def fit(value: Any, annotation: Any) -> tuple[bool, Any]:
    """Return whether ``value`` fits ``annotation``, and the value converted (``1`` to 1.0).

    Annotations of other types (a tensor, a class of gdframe) accept every value.
    """
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        # an exact member wins over a conversion: 1 stays an int in `float | int`
        results = [fit(value, option) for option in options]
        exact = [r for r, o in zip(results, options, strict=True) if r[0] and type(value) is o]
        return next((r for r in exact or results if r[0]), (False, value))
    if origin is typing.Literal:
        return value in options, value
    if origin in (list, tuple, Sequence):
        return _fit_sequence(value, origin, options)
    if annotation is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (True, float(value)) if number else (False, value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if annotation in (bool, str):
        return isinstance(value, annotation), value
    if annotation in (None, type(None)):
        return value is None, value
    return True, value


def _fit_sequence(value: Any, origin: Any, options: tuple[Any, ...]) -> tuple[bool, Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False, value
    inner = options[0] if options else Any
    results = [fit(item, inner) for item in value]
    container = list if origin is list else tuple
    return all(ok for ok, _ in results), container(item for _, item in results)


PLURALS = {float: "numbers", int: "whole numbers", str: "texts"}
"""Types of the entries of a list, in words."""


def describe(annotation: Any) -> str:
    """Return the values of an annotation in words: ``a number``, ``a number or null``."""
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(option) for option in options)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, options))
    if origin in (list, tuple, Sequence):
        plural = PLURALS.get(options[0]) if options else None
        return f"a list of {plural}" if plural else "a list"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    if annotation in (None, type(None)):
        return "null"
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))
