"""The error for a few texts in a column of numbers or of dates."""

from __future__ import annotations

from collections.abc import Sequence

from gdframe.data.frame import first_rows
from gdframe.data.list_override import list_override
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.texts import Texts
from gdframe.errors import UserError, in_words, printable

MOST_STRAY = 5
"""Most different texts among numbers that count as errors; with more, the column is text."""

FIRST_ROWS = 3
"""Rows of text at the start of a column of numbers that may belong to lines before the table."""


def stray_values(
    name: str, texts: Texts, stray: Sequence[str], present: int, layout: Layout, kind: str
) -> UserError:
    """Return the error for a few texts in a column of another kind.

    Args:
        name: of the column.
        texts: of the column.
        stray: the texts that are not of the kind.
        present: number of values.
        layout: of the file.
        kind: ``numbers`` or ``dates``.
    """
    bad = texts.rows_with(stray)
    shown = in_words(repr(texts.words[int(texts.places[row])]) for row in bad[:3])
    ways = ["correct them"]
    if len(stray) <= MOST_STRAY:
        marks = list_override("data.null_values", *stray)
        ways.append(f"set {marks} if they stand for a missing value")
    if kind == "numbers":
        ways.append(f"{list_override('data.categorical', name)} if the values are categories")
    else:
        ways.append(f"{list_override('data.exclude', name)} to leave the column out")
    if layout.header is False and bad[0] == 0:
        ways.append("data.header=true if row 1 holds the names of the columns")
    if layout.header is not None and bad[0] < FIRST_ROWS:
        ways.append("data.skip=N if the first N lines of the file are not of the table")
    return UserError(
        f"column '{name}' has text in {len(bad)} of {present} rows where the others are "
        f"{kind}: {printable(shown)}, first in {first_rows(bad)}: {', or '.join(ways)}"
    )
