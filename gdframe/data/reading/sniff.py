"""Finds what separates the values of a text: comments, lines before the table, the separator."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from gdframe.data.reading.layout import SEPARATORS, Layout

COMMENTS = ("#", "%", "//")
"""Beginnings of lines before a table that are no data."""

MOST_LINES = 500
"""Most lines that are looked at."""

MOST_PREAMBLE = 60
"""Most lines before a table that are left out without being asked."""

MOST_VALUES = 1 << 17
"""Most values whose characters are looked at; a line may hold millions."""

MOST_FIELD = 1 << 30
"""Most characters of a value."""

REGULAR = 0.8
"""Share of the lines that must have one number of values for a separator to count."""

NUMBER = r"[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?"


@dataclass(frozen=True)
class Sniffed:
    """The facts that the first lines of a text tell.

    Args:
        separator: of values; a blank stands for runs of blanks.
        comment: what comments begin with; empty if there are none.
        skipped: lines at the start that are no data and not the header, comments not counted.
        header: the header, if a comment holds it.
        rows: the first rows as values, the header included.
    """

    separator: str
    comment: str
    skipped: tuple[str, ...]
    header: tuple[str, ...] | None
    rows: tuple[tuple[str, ...], ...]


def split_blanks(line: str) -> list[str]:
    """Return the values of a line that runs of blanks separate; quotes keep blanks in a value.

    Example:
        >>> split_blanks('  18.0   8 "ford  torino"')
        ['18.0', '8', 'ford  torino']
    """
    parts = re.findall(r'"((?:[^"]|"")*)"(?=\s|$)|(\S+)', line)
    return [bare or quoted.replace('""', '"') for quoted, bare in parts]


def rows_of(lines: Sequence[str], separator: str) -> list[tuple[str, ...]]:
    """Return the values of each row; a quoted value may go on in the next line."""
    if separator == " ":
        return [tuple(split_blanks(line)) for line in lines if line.strip()]
    csv.field_size_limit(MOST_FIELD)
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator)
    rows = []
    try:
        rows = [tuple(row) for row in reader if row and (len(row) > 1 or row[0].strip())]
    except csv.Error:  # a null character, or a quote that never ends
        rows = [tuple(line.split(separator)) for line in lines if line.strip()]
    return rows


def sniff(lines: Sequence[str], layout: Layout) -> Sniffed:
    """Return what the first lines of a text tell, where the layout leaves it open.

    Args:
        lines: the first lines, without line ends.
        layout: what the user has set.
    """
    lines = list(lines[layout.skip or 0 :])[:MOST_LINES]
    comment = layout.comment if layout.comment is not None else _comment_of(lines)
    remarks, data = list[str](), list[str]()
    for line in lines:
        is_remark = comment and line.lstrip().startswith(comment)
        (remarks if is_remark else data).append(line)
        if is_remark and data and layout.comment is None and not any(d.strip() for d in data):
            data = []
    data = [line for line in data if line.strip()]
    separator = layout.separator or _separator_of(data)
    rows = rows_of(data, separator)
    width = _width(rows)
    start = 0 if layout.skip is not None else _start_of(rows, width)
    skipped, rows = rows[:start], rows[start:]
    named = _header_in(remarks, comment, separator, rows, width)
    return Sniffed(
        separator, comment, tuple(separator.join(row) for row in skipped), named, tuple(rows)
    )


def _comment_of(lines: Sequence[str]) -> str:
    """Return what comments at the start begin with, or an empty text."""
    first = next((line.lstrip() for line in lines if line.strip()), "")
    for mark in COMMENTS:
        rest = first.removeprefix(mark)
        # a column may be called "#"
        if first.startswith(mark) and rest[:1] not in (",", ";", "\t", "|", '"'):
            return mark
    return ""


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return the most frequent number of values; of equally frequent ones, the largest."""
    counts = Counter(map(len, rows))
    return max(counts, key=lambda width: (counts[width], width), default=0)


def _start_of(rows: Sequence[Sequence[str]], width: int) -> int:
    """Return the first row of the table: the header, where rows before it have another width."""
    first = next((i for i, row in enumerate(rows) if len(row) == width), 0)
    if first > MOST_PREAMBLE or width < 2:
        return 0
    before = rows[first - 1] if first else ()
    # the header of a table whose rows have names lacks a name; another ends with a separator
    is_header = len(before) == width - 1 > 1 or (len(before) == width + 1 and not before[-1])
    return first - 1 if is_header else first


def _separator_of(lines: Sequence[str]) -> str:
    """Return the separator that gives the lines one number of values most often."""
    if not lines:
        return ","
    return max(SEPARATORS, key=lambda separator: _score(lines, separator))


def _score(lines: Sequence[str], separator: str) -> float:
    rows = rows_of(lines, separator)
    width = _width(rows)
    if width < 2:
        return 0.0
    regular = [row for row in rows if len(row) == width]
    share = len(regular) / len(rows)
    values = list(islice(chain.from_iterable(regular[1:] or regular), MOST_VALUES))
    others = [mark for mark in SEPARATORS if mark not in (separator, " ")]
    # values such as "5;2" show that another character separates
    mixed = 1.0 * sum(any(m in v for m in others) and not re.fullmatch(NUMBER, v) for v in values)
    if separator != " ":  # values such as '75 z -9.5' show that blanks separate
        mixed += sum(_begins_or_ends_with_number(value) for value in values) / 2
    ragged = 0.0 if len(rows[0]) in (width, width - 1) else 0.1
    penalty = 0.5 * mixed / len(values) + ragged
    if separator == " ":
        penalty += 0.1  # blanks are in texts, too
        if share < 1 and share < 0.98:
            penalty += 0.3
    if share < REGULAR and len(regular) < 3:
        penalty += 0.3
    return share - penalty + min(width, 100) * 1e-4


def _begins_or_ends_with_number(value: str) -> bool:
    words = value.split()
    return len(words) > 1 and any(re.fullmatch(NUMBER, words[place]) for place in (0, -1))


def _header_in(
    remarks: Sequence[str], comment: str, separator: str, rows: Sequence[Sequence[str]], width: int
) -> tuple[str, ...] | None:
    """Return the header in the last comment, if its words are as many as the columns."""
    if not remarks or not rows or len(rows[0]) != width or width < 2:
        return None
    text = remarks[-1].lstrip()[len(comment) :].lstrip("#%/ \t")
    for mark in dict.fromkeys((separator, ",", "\t", " ")):
        words = rows_of([text], mark)
        if (
            words
            and len(words[0]) == width
            and not any(re.fullmatch(NUMBER, word.strip()) for word in words[0])
        ):
            return tuple(word.strip() for word in words[0])
    return None
