"""Tells in words what code of users raised, and where."""

from __future__ import annotations

import traceback

from gdframe.errors import first_line


def raised(error: BaseException) -> str:
    """Return the class, the first line and the place of an error of users' code.

    Example:
        >>> raised(KeyError("size"))
        "KeyError: 'size'; debug=true shows the traceback"
    """
    name, text = type(error).__name__, first_line(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    if isinstance(error, SyntaxError):
        where = f" (line {error.lineno} of {error.filename})"
    told = name if text == name else f"{name}: {text}"
    return f"{told}{where}; debug=true shows the traceback"
