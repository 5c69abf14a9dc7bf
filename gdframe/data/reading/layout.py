"""The layout of a file of text: what separates values, what names columns, what is no value."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from gdframe.data.reading.null_markers import NULL_MARKERS
from gdframe.errors import bad_value

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "blanks"}
"""Separators of values, and what they are called. Blanks are runs of blanks and tabs."""

SPELLED = {"tab": "\t", "\\t": "\t", "blank": " ", "space": " ", "blanks": " "}
"""Names of separators that are hard to type."""


@dataclass(frozen=True)
class Layout:
    """The layout of a table in a file's text. None stands for what the file decides.

    Args:
        separator: ``,``, ``;``, tab, ``|`` or another character; a blank stands for runs of blanks.
        header: whether the first line holds the names of the columns.
        names: names of the columns.
        decimal: ``.`` or ``,``.
        thousands: character between groups of three digits.
        encoding: such as ``utf-8``, ``latin-1`` or ``utf-16``.
        null_values: texts and numbers that stand for a missing value, besides the usual ones.
        comment: what lines that are no data begin with.
        skip: number of lines before the table.
        sheet: name of the sheet of an Excel file.
    """

    separator: str | None = None
    header: bool | None = None
    names: tuple[str, ...] | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    null_values: tuple[str, ...] = ()
    comment: str | None = None
    skip: int | None = None
    sheet: str | None = None

    def __post_init__(self) -> None:
        separator = SPELLED.get(self.separator or "", self.separator)
        object.__setattr__(self, "separator", separator)
        if separator is not None and (len(separator) != 1 or separator in '\r\n"'):
            expected = "one character, such as ';', or tab or blank"
            raise bad_value(f"separator={self.separator}", expected)
        if self.decimal not in (None, ".", ","):
            raise bad_value(f"decimal={self.decimal}", "'.' or ','")
        if self.thousands is not None and self.thousands not in tuple(",. '_"):
            raise bad_value(f"thousands={self.thousands}", "one of , . ' _ or a blank")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise bad_value(
                f"thousands={self.thousands}", "another character than the decimal one",
                "set data.decimal, too",
            )  # fmt: skip
        if self.comment == "":
            raise bad_value("comment=", "the characters that comments begin with, such as '#'")
        if self.skip is not None and self.skip < 0:
            raise bad_value(f"skip={self.skip}", "a whole number of at least 0")
        if self.names is not None and len(set(self.names)) < len(self.names):
            raise bad_value("names", "different names", "a name occurs twice")

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that stand for a missing value."""
        return tuple(dict.fromkeys((*NULL_MARKERS, *self.null_values)))

    @property
    def null_numbers(self) -> tuple[float, ...]:
        """Numbers that stand for a missing value."""
        numbers = list[float]()
        for text in self.null_values:
            with suppress(ValueError):
                numbers.append(float(text))
        return tuple(numbers)

    def to_json(self) -> dict[str, Any]:
        """Return plain values from which ``from_json`` rebuilds this layout."""
        return {key: value for key, value in asdict(self).items() if value not in (None, ())}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Layout:
        """Return the layout that ``to_json`` has stored."""
        listed = {key: tuple(stored[key]) for key in ("names", "null_values") if key in stored}
        return cls(**{**stored, **listed})
