"""Numbers as people write them: ``1,234.5``, ``12,5``, ``45%``, ``$1,200``, ``(300)``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from gdframe.data.reading.header import PLAIN_NUMBER
from gdframe.errors import UserError, printable

BLANKS = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "\u2019": "'"})
"""Special blanks, minus and apostrophe, and what they are read as."""

SIGNS, UNITS = ("$", "€", "£", "¥"), ("$", "€", "£", "¥", "%", "EUR", "USD")
"""Texts that are left out before a number, and after it."""


@dataclass(frozen=True)
class NumberFormat:
    """The way in which numbers are written.

    Args:
        decimal: character before the fraction.
        thousands: character between groups of three digits; empty if there is none.

    Example:
        >>> NumberFormat(",", ".").parse("-1.234,5")
        -1234.5
        >>> NumberFormat(".", ",").parse("$1,200"), NumberFormat(".").parse("1,200")
        (1200.0, None)
    """

    decimal: str = "."
    thousands: str = ""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        grouped = rf"\d{{1,3}}(?:{group}\d{{3}})+|" if self.thousands else ""
        whole = rf"(?:{grouped}\d+)"
        return re.compile(rf"({whole}(?:{point}\d*)?|{point}\d+)([eE][+-]?\d+)?", re.ASCII)

    def parse(self, text: str) -> float | None:
        """Return the number that a text is, or None."""
        text = text.translate(BLANKS).strip()
        sign = 1.0
        if text[:1] == "(" and text[-1:] == ")":
            sign, text = -1.0, text[1:-1].strip()
        if text[:1] in ("+", "-"):
            sign, text = -sign if text[0] == "-" else sign, text[1:].lstrip()
        if text.startswith(SIGNS):
            text = text[1:].lstrip()
        unit = next((unit for unit in UNITS if text.endswith(unit)), "")
        text = text.removesuffix(unit).rstrip() if unit else text
        if text[:1] in ("+", "-"):
            sign, text = -sign if text[0] == "-" else sign, text[1:]
        match = self._pattern.fullmatch(text)
        if match is None:
            return sign * float(text) if text.lower() in ("inf", "infinity") else None
        digits = match[1].replace(self.thousands, "") if self.thousands else match[1]
        return sign * float(digits.replace(self.decimal, ".") + (match[2] or ""))

    def __str__(self) -> str:
        """Return an example, from which ``from_text`` rebuilds the format."""
        return f"1{self.thousands}234{self.decimal}5"

    @classmethod
    def from_text(cls, example: str) -> NumberFormat:
        """Return the format of an example.

        Raises:
            UserError: it is none.
        """
        parts = re.fullmatch(r"1(.{0,8})234(.)5", example, re.DOTALL)
        if parts is None:
            raise UserError(
                f"the saved model reads numbers as in {printable(repr(example))[:80]}, which is no "
                f"number such as {cls()}; it is damaged"
            )
        return cls(parts[2], parts[1])


FORMATS = [
    NumberFormat(decimal, thousands)
    for decimal, thousands in (
        (".", ""), (".", ","), (",", ""), (",", "."), (",", " "), (".", " "), (".", "'"),
        (",", "'"),
    )
]  # fmt: skip
"""Formats in the order in which they are tried; the first of those that read most wins."""


def formats_for(decimal: str | None, thousands: str | None) -> list[NumberFormat]:
    """Return the formats that fit what a user has set."""
    if thousands is not None:
        return [NumberFormat(decimal or ".", thousands)]
    fitting = [form for form in FORMATS if decimal in (None, form.decimal)]
    return fitting if decimal != "," else [NumberFormat(",", "."), *fitting]


def best_format(
    texts: Iterable[str], formats: Iterable[NumberFormat]
) -> tuple[NumberFormat, dict[str, float]]:
    """Return the format that reads most texts, and the numbers by text."""
    texts = list(texts)
    best: tuple[NumberFormat, dict[str, float]] = NumberFormat(), {}
    for form in formats:
        numbers = {text: n for text in texts if (n := form.parse(text)) is not None}
        if len(numbers) > len(best[1]):
            best = form, numbers
        if len(numbers) == len(texts):
            break
    return best


def disguises(texts: Iterable[str]) -> str:
    """Return a text that is a number in disguise, or an empty text if all are plain."""
    return next((text for text in texts if not PLAIN_NUMBER.fullmatch(text)), "")
