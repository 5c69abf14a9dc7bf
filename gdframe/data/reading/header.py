"""The names of the columns, from the first row of a text if it holds them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from gdframe.data.reading.layout import Layout

PLAIN_NUMBER = re.compile(
    r"\s*+[+-]?((\d++(\.\d*+)?|\.\d++)([eE][+-]?\d++)?|[nN]a[nN]|inf(inity)?|-inf)\s*+", re.ASCII
)
"""A number as Python and DuckDB read it."""

NUMBER_LIKE = re.compile(
    r"\s*+[$€£¥(]*+[+\-\u2212]?[$€£¥]?"
    r"\d[\d.,'\u00a0\u202f\u2009 ]*+([eE][+-]?\d++)?\s*+[%€£)]*+\s*+"
)
"""A number as people write it, or a date."""

DATE_LIKE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([T ][\d:.]+Z?)?\s*|\s*\d+:\d\d.*")


WHOLE = re.compile(r"\d{1,9}", re.ASCII)

RANGE = re.compile(r"\s*\d+(\.\d+)?\s*([-\u2013]\s*\d+(\.\d+)?|\+)\s*", re.ASCII)
"""A range of numbers, such as ``0-1`` or ``6+``; it may look like a date."""


def is_value(text: str) -> bool:
    """Return whether text is a number or a date rather than a name."""
    return bool(NUMBER_LIKE.fullmatch(text) or DATE_LIKE.fullmatch(text) or _is_plain(text))


def _is_plain(text: str) -> bool:
    return PLAIN_NUMBER.fullmatch(text) is not None


def has_header(rows: Sequence[Sequence[str]], layout: Layout) -> bool:
    """Return whether the first row holds names: it differs in kind from the rows below it.

    A row of numbers is data. So is a row whose texts occur again below it in their columns. Beside
    texts, or an empty corner over names of rows, whole numbers that ascend are names, such as
    years, if no row below has such numbers. So are ranges above plain numbers, beside texts.

    Args:
        rows: the first rows.
        layout: whose null markers count as no value.
    """
    first, rest = rows[0], rows[1:]
    present = [text for text in first if text.strip()]
    has_years = _counts_up(first) and not any(map(_counts_up, rest))
    if not present or all(map(is_value, present)):
        has_corner = not first[0].strip() and all(row[0].strip() for row in rest)
        return has_years and has_corner and len(rest) >= 3
    if not rest:
        return True
    for_header = for_data = numbers = 0.0
    markers = set(layout.markers)
    for place, text in enumerate(first):
        below = [row[place].strip() for row in rest if place < len(row)]
        below = [value for value in below if value not in markers]
        if not below or not text.strip():
            continue
        if sum(map(is_value, below)) >= 0.8 * len(below):
            is_range = RANGE.fullmatch(text) and all(map(_is_plain, below))
            if (is_value(text) and not is_range) or text.strip() in markers:
                numbers += 1
            else:
                for_header += 1
        elif text.strip() in below:
            for_data += 1
        elif not is_value(text):
            for_header += 0.5 if len(set(below)) < len(below) or len(below) < 5 else 0.25
    if has_years and for_header and not for_data:
        return True
    return for_header >= for_data + numbers


def _counts_up(row: Sequence[str]) -> bool:
    """Return whether the numbers of a row are whole and ascend, as years that are names do."""
    numbers = [text.strip() for text in row if is_value(text)]
    is_whole = len(numbers) >= 3 and all(WHOLE.fullmatch(number) for number in numbers)
    return is_whole and all(int(a) < int(b) for a, b in pairwise(numbers))


def column_names(texts: Sequence[str], width: int) -> tuple[list[str], list[str]]:
    """Return different names of columns, and what was changed, a sentence each.

    Args:
        texts: of the header; empty where it names no column.
        width: number of columns.
    """
    names: dict[str, None] = {}
    notes = []
    for place in range(width):
        name = " ".join(texts[place].split()) if place < len(texts) else ""
        name = name or f"c{place + 1}"
        count = 2
        fresh = name
        while fresh in names:
            fresh, count = f"{name}_{count}", count + 1
        if fresh != name:
            notes.append(f"column {place + 1} is called '{name}', as another: read as '{fresh}'")
        names[fresh] = None
    return list(names), notes
