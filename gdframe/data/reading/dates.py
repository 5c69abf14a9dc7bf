"""Dates and times in text: recognised by their form, and read as seconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"

# possessive quantifiers: a text with many blanks would otherwise be tried in many ways
CLOCK = (
    r"(?:[T ]++\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d++)?)?\s*+(?:[ap]m)?\s*+(?:Z|UTC|[+-]\d{2}:?\d{2})?)?"
)

FORMS: dict[str, str] = {
    "year-month-day": r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})",
    "day-month-year": r"(?P<d>\d{1,2})[-/.](?P<m>\d{1,2})[-/.](?P<y>\d{4}|\d{2})",
    "month-day-year": r"(?P<m>\d{1,2})[-/.](?P<d>\d{1,2})[-/.](?P<y>\d{4}|\d{2})",
    "day-name-year": rf"(?P<d>\d{{1,2}})[-/. ](?P<b>{MONTH})[-/. ,]+(?P<y>\d{{4}}|\d{{2}})",
    "name-day-year": rf"(?P<b>{MONTH})[-/. ](?P<d>\d{{1,2}}),?[-/. ]+(?P<y>\d{{4}}|\d{{2}})",
    "name-year": rf"(?P<b>{MONTH})[-/. ,]+(?P<y>\d{{4}})",
    "year-name": rf"(?P<y>\d{{4}})[-/. ,]*(?P<b>{MONTH})",
    "year-month": r"(?P<y>\d{4})(?:-| ?M)(?P<m>\d{1,2})",
    "year-quarter": r"(?P<y>\d{4})[- ]?Q(?P<q>[1-4])",
    "quarter-year": r"Q(?P<q>[1-4])[- /]?(?P<y>\d{4})",
    "year-week": r"(?P<y>\d{4})[- ]?W(?P<w>\d{1,2})",
    "time": "",
}
"""Forms of a date, in the order in which they are tried."""

TIME = re.compile(
    r"(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2}(?:[.,]\d++)?))?\s*+(?P<p>[ap]m)?"
    r"\s*+(?P<z>Z|UTC|[+-]\d{2}:?\d{2})?\s*+$",
    re.IGNORECASE | re.ASCII,
)

PATTERNS = {
    name: re.compile(rf"{form}{CLOCK}" if form else CLOCK.rstrip("?").replace("[T ]++", ""),
                     re.IGNORECASE | re.ASCII)
    for name, form in FORMS.items()
}  # fmt: skip

MONTHS = {name: place for place, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
)}  # fmt: skip


@dataclass(frozen=True)
class DateFormat:
    """The way in which dates are written.

    Args:
        form: a key of ``FORMS``.

    Example:
        >>> DateFormat("day-month-year").parse("01/02/1970 00:00:05") == 31 * 86400 + 5
        True
        >>> DateFormat("day-month-year").parse("01/13/1970") is None
        True
    """

    form: str

    def parse(self, text: str) -> float | None:
        """Return the seconds since 1970-01-01 00:00 UTC, or None if text is no such date."""
        text = text.strip()
        match = PATTERNS[self.form].fullmatch(text)
        if match is None:
            return None
        parts = match.groupdict()
        year, month, day = 1970, 1, 1
        if self.form != "time":
            year = int(parts["y"])
            year += (2000 if year < 69 else 1900) * (len(parts["y"]) == 2)
            month = 3 * int(parts.get("q") or 1) - 2
            month = MONTHS[parts["b"][:3].lower()] if "b" in parts else int(parts.get("m") or month)
            day = int(parts.get("d") or 1)
        try:
            start = datetime(year, month, day, tzinfo=UTC).timestamp()
            if "w" in parts:
                monday = datetime.fromisocalendar(year, int(parts["w"]), 1)
                start = monday.replace(tzinfo=UTC).timestamp()
        except ValueError:
            return None
        clock = TIME.search(text) if ":" in text else None
        if clock is None:
            return start
        hour, minute, second = int(clock["H"]), int(clock["M"]), clock["S"] or "0"
        if clock["p"]:
            hour = hour % 12 + 12 * (clock["p"].lower() == "pm")
        if hour > 24 or minute > 59:
            return None
        seconds = 3600.0 * hour + 60.0 * minute + float(second.replace(",", "."))
        zone = clock["z"] or "Z"
        if zone[0] in "+-":
            digits = zone[1:].replace(":", "")
            offset = 3600 * int(digits[:2]) + 60 * int(digits[2:])
            seconds -= offset if zone[0] == "+" else -offset
        return start + seconds


def date_format(texts: Sequence[str]) -> tuple[DateFormat, dict[str, float]] | None:
    """Return the format in which all texts are dates, and the seconds by text, or None.

    Of two formats that read all, day before month wins unless only month before day does.
    """
    for form in FORMS:
        candidate, seconds = DateFormat(form), dict[str, float]()
        for text in texts:
            value = candidate.parse(text)
            if value is None:
                break
            seconds[text] = value
        else:
            return candidate, seconds
    return None
