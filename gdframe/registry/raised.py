"""Tells in words what code of users raised, and where."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from gdframe.errors import first_line

LIBRARIES = (
    *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
    str(Path(__file__).parents[1]),
    "<frozen",
)
"""Beginnings of the files that are not code of users."""


def raised(error: BaseException) -> str:
    """Return the class, the first line and the place of an error of users' code.

    Example:
        >>> raised(KeyError("size"))
        "KeyError: 'size'; debug=true shows the traceback"
    """
    name, text = type(error).__name__, first_line(error)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)] or frames
    where = f" (line {theirs[-1].lineno} of {theirs[-1].filename})" if theirs else ""
    if isinstance(error, SyntaxError):
        where = f" (line {error.lineno} of {error.filename})"
    told = name if text == name else f"{name}: {text}"
    return f"{told}{where}; debug=true shows the traceback"
