"""Text cells of CSV files that a spreadsheet program must not read as formulas."""

from __future__ import annotations

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula, as OWASP lists them; the last four are full-width ``=+-@``."""


def cell(value: Any) -> Any:
    """Return a cell: text that begins like a formula gets an apostrophe, and numbers stay.

    Example:
        >>> cell("=1+1"), cell("-1.5"), cell(-2), cell("a=b")
        ("'=1+1", '-1.5', -2, 'a=b')
    """
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value if value.isprintable() else f"'{value}"
