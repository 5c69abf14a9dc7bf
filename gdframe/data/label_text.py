"""Labels of classes in any spelling: in upper or lower case, and as another text of a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def key_of(text: str) -> str:
    """Return what is equal for texts that differ in case and blanks only."""
    return " ".join(text.split()).casefold()


def finder_of(labels: Sequence[Any]) -> Callable[[str], int | None]:
    """Return a function that returns the place of the label that a text stands for, or None.

    Example:
        >>> find = finder_of(["no", 2])
        >>> find("No"), find("2.0"), find("3")
        (0, 1, None)
    """
    places = {key_of(str(label)): place for place, label in enumerate(labels)}
    for place, label in enumerate(labels):
        if isinstance(label, (int, float)) and not isinstance(label, bool):
            places[_numeral(str(label))] = place
    return lambda text: places.get(key_of(text), places.get(_numeral(text)))


def _numeral(text: str) -> str:
    try:
        return f"number {float(text)!r}"
    except ValueError:
        return text
