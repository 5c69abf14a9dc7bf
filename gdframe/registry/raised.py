"""Tells in words what code of users raised, and where."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from gdframe.errors import first_line


def raised(error: BaseException) -> str:
    """Return the class, the first line and the place of an error of users' code.

    Example:
        >>> raised(KeyError("size"))
        "KeyError: 'size'; debug=true shows the traceback"
    """
    name, text = type(error).__name__, first_line(error)
    frames = traceback.extract_tb(error.__traceback__)
    folders = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    not_of_users = (*folders, str(Path(__file__).parents[1]), "<frozen")
    of_users = [frame for frame in frames if not frame.filename.startswith(not_of_users)] or frames
    where = f" (line {of_users[-1].lineno} of {of_users[-1].filename})" if of_users else ""
    if isinstance(error, SyntaxError):
        where = f" (line {error.lineno} of {error.filename})"
    told = name if text == name else f"{name}: {text}"
    return f"{told}{where}; debug=true shows the traceback"
