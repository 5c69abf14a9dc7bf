"""Text cells of CSV files that a spreadsheet program must not read as formulas."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula, as OWASP lists them; the last four are full-width ``=+-@``."""

HIDDEN = ("Cf", "Cc", "Zs", "Zl", "Zp")
"""Unicode categories of characters that a program may skip: format, control and space."""

_INNER = re.compile(r"(;\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a program that separates cells by semicolons would find a formula."""


def cell(value: Any) -> Any:
    """Return a cell: text that begins like a formula gets an apostrophe, and numbers stay.

    So does what follows a semicolon. Invisible characters before a formula do not hide it.

    Example:
        >>> cell("=1+1"), cell("-1.5"), cell(-2), cell("a=b"), cell("a;=b")
        ("'=1+1", '-1.5', -2, 'a=b', "a;'=b")
    """
    if not isinstance(value, str):
        return value
    value = _INNER.sub(r"\1'", value)
    at = next((i for i, c in enumerate(value) if unicodedata.category(c) not in HIDDEN), 0)
    shown = value[at:]
    if not (value.startswith(FORMULA) or shown.startswith(FORMULA)):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value if value.isprintable() else f"'{value}"
