"""Columns of text that hold dates."""

from __future__ import annotations

from gdframe.data.reading.dates import FORMS, DateFormat, date_format
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.null_markers import WEAK_MARKERS
from gdframe.data.reading.stray_values import stray_values
from gdframe.data.reading.texts import FEW_VALUES, SAMPLE, Texts
from gdframe.data.reading.typed_column import TypedColumn

MOSTLY_DATES = 0.95
"""Share of dates of one form from which on the other texts of a column count as errors."""


def as_dates(name: str, texts: Texts, layout: Layout) -> TypedColumn | None:
    """Return a column of dates as seconds since 1970, if its texts are dates; else None.

    Raises:
        UserError: nearly all texts are dates of one form.
    """
    words = [word for word in texts.words if word.lower() not in WEAK_MARKERS]
    sample = words[:SAMPLE]
    if 2 * sum(any(map(str.isdigit, word)) for word in sample) < max(1, len(sample)):
        return None
    result = date_format(words) if date_format(sample) else None
    if result is None:
        _refuse_stray(name, texts, words, layout)
        return None
    form, values = result
    notes = [f"column '{name}': {words[0]!r} read as a date ({form.form.replace('-', ', ')})"]
    if form.form == "day-month-year" and all(
        DateFormat("month-day-year").parse(word) is not None for word in words
    ):
        notes[0] += ", which could be month, day, year as well: write year-month-day to be sure"
    return TypedColumn(name, "date", texts.numbers(values), form.form, tuple(notes))


def _refuse_stray(name: str, texts: Texts, words: list[str], layout: Layout) -> None:
    """Raise the error for a few texts among dates. Times of day may as well be durations."""
    sample = words[:SAMPLE]
    shares = {form: len(_that_parse(form, sample)) / len(sample) for form in FORMS}
    best = max(shares, key=lambda form: shares[form])
    present = texts.count(words)
    are_categories = len(words) <= FEW_VALUES and present >= 3 * len(words)
    if best == "time" or shares[best] < 0.5 or are_categories:
        return
    dates = _that_parse(best, words)
    if texts.count(list(dates)) >= MOSTLY_DATES * present:
        stray = [word for word in words if word not in dates]
        raise stray_values(name, texts, stray, present, layout, "dates")


def _that_parse(form: str, words: list[str]) -> set[str]:
    parse = DateFormat(form).parse
    return {word for word in words if parse(word) is not None}
