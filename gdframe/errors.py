"""The exceptions for wrong input and failed commands, the checks that raise them, exit codes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    FAILED = 1
    WRONG_INPUT = 2
    DIVERGED = 3
    INTERRUPTED = 130


class UserError(ValueError):
    """Wrong input; the message states what was given, what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class FailedError(UserError):
    """A command that could not finish, although its input is right.

    The command line exits with code 1.
    """


def unknown(
    given: str, kind: str, name: str, known: Iterable[str], *, suggestion: str | None = None
) -> UserError:
    """Return the error for a name that does not exist; it suggests the closest and lists all.

    Args:
        given: what the user typed, with the name.
        kind: what the name should name, such as ``optimizer``.
        name: the name, as it is compared with ``known``.
        known: the names that exist.
        suggestion: what to suggest instead of the closest name.

    Example:
        >>> print(unknown("optimizer=adm", "optimizer", "adm", ["adam", "gd"]))
        optimizer=adm: there is no such optimizer; did you mean 'adam'? choose from adam, gd
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    suggestion = suggestion or (f"'{close[0]}'" if close else "")
    hint = f"did you mean {suggestion}? " if suggestion else ""
    return UserError(f"{given}: there is no such {kind}; {hint}choose from {in_words(known)}")


def bad_value(given: str, expected: str, advice: str = "") -> UserError:
    """Return the error for a value that cannot be used.

    Args:
        given: what the user typed.
        expected: the values that can be used.
        advice: what to do.

    Example:
        >>> print(bad_value("epochs=0", "a whole number of at least 1"))
        epochs=0: expected a whole number of at least 1
    """
    return UserError(f"{given}: expected {expected}{f'; {advice}' if advice else ''}")


def in_words(names: Iterable[str]) -> str:
    """Return names joined for a sentence: ``a, b, c``, or ``nothing`` without names."""
    return ", ".join(names) or "nothing"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its class name."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def fraction(name: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1), the range of decay rates.

    Raises:
        UserError: ``value`` is outside [0, 1).
    """
    if not 0 <= float(value) < 1:
        raise bad_value(f"{name}={value:g}", "a number of at least 0 and below 1")
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above 0.

    Raises:
        UserError: ``value`` is not finite, or not above 0.
    """
    if not (math.isfinite(float(value)) and float(value) > 0):
        raise bad_value(f"{name}={value:g}", "a finite number above 0")
    return value
