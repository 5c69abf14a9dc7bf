"""The one exception that means "the input is wrong", and the checks that raise it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class UserError(ValueError):
    """Input that cannot be used: says what was given, what was expected and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class FailedError(UserError):
    """What was begun could not be brought to its end, through no fault of the input.

    The command line exits with code 1.
    """


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string.

    Example:
        >>> did_you_mean("adm", ["adam", "gd"])
        " Did you mean 'adam'?"
    """
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def in_words(names: Iterable[str]) -> str:
    """Join names for a sentence: ``a, b, c``; ``nothing`` when there are none."""
    return ", ".join(names) or "nothing"


def fraction(name: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1), the range of decay rates.

    Raises:
        UserError: it does not.
    """
    if not 0 <= float(value) < 1:
        raise UserError(f"{name}={value:g}: must be at least 0 and below 1")
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above 0.

    Raises:
        UserError: it is not.
    """
    if not (math.isfinite(float(value)) and float(value) > 0):
        raise UserError(f"{name}={value:g}: must be a finite number above 0")
    return value
