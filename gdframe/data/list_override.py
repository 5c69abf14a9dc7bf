"""Overrides of keys that hold lists, as messages name them: a shell passes them on as they are."""

from __future__ import annotations

from gdframe.errors import override_value, printable, shell_word


def list_override(key: str, *values: str | float) -> str:
    """Return an override of a list for a message, in quotes for the shell.

    Args:
        key: of the list, such as ``data.exclude``.
        values: texts, such as names of columns, or numbers.

    Example:
        >>> print(list_override("data.exclude", "a b", "c"), list_override("data.x", -9.0))
        "data.exclude=['a b',c]" "data.x=[-9]"
    """
    words = (override_value(v) if isinstance(v, str) else f"{v:g}" for v in values)
    return shell_word(printable(f"{key}=[{','.join(words)}]"))
