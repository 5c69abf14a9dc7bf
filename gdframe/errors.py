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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string.

    Example:
        >>> did_you_mean("adm", ["adam", "gd"])
        " Did you mean 'adam'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


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
        raise UserError(f"{name}={value:g}: must be at least 0 and below 1")
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above 0.

    Raises:
        UserError: ``value`` is not finite, or not above 0.
    """
    if not (math.isfinite(float(value)) and float(value) > 0):
        raise UserError(f"{name}={value:g}: must be a finite number above 0")
    return value
