"""Typed columns: text that holds numbers, true and false or dates becomes what it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gdframe.data.frame import first_rows
from gdframe.data.label_text import key_of
from gdframe.data.list_override import list_override
from gdframe.data.reading.arrays import is_number, is_text, numbers, plain
from gdframe.data.reading.date_columns import as_dates
from gdframe.data.reading.dates import DateFormat
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.null_markers import WEAK_MARKERS
from gdframe.data.reading.numerals import NumberFormat, best_format, disguises, formats_for
from gdframe.data.reading.stray_values import MOST_STRAY, stray_values
from gdframe.data.reading.texts import FEW_VALUES, SAMPLE, Texts
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.errors import UserError, counted, in_words, override_value, printable, shell_word

MOSTLY_NUMBERS = 0.5
"""Share of numbers above which a text column counts as numbers with errors."""

EXACT = 15
"""Digits up to which floats hold each whole number."""

MOST_CODES = 100
"""Most different numerals with leading zeros that are codes of categories."""

TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6}
"""Units of time in a second."""


def typed(
    name: str, column: pa.ChunkedArray, layout: Layout, *, text: bool = False, codes: bool = False
) -> TypedColumn:
    """Return a column with the type of what it holds.

    Args:
        name: of the column.
        column: as read from a file.
        layout: null markers, and how numbers are written.
        text: whether to leave numbers as text, as categories.
        codes: whether whole numbers are categories where some have leading zeros.

    Raises:
        UserError: text among numbers seems to be an error.
    """
    array = plain(column)
    if is_text(array):
        texts = Texts.of(array, layout)
        return _as_categories(name, texts) if text else _typed_text(name, texts, layout, codes)
    if text and (is_number(array) or pa.types.is_boolean(array.type)):
        return TypedColumn(name, "text", _as_text(array))
    if pa.types.is_boolean(array.type):
        return TypedColumn(name, "boolean", array)
    if is_number(array):
        return TypedColumn(name, "number", without_numbers(array, layout.null_numbers))
    seconds = seconds_of(array)
    if seconds is not None:
        return TypedColumn(name, "date", seconds)
    return TypedColumn(name, "unusable", array)


def without_numbers(array: pa.Array, nulls: Sequence[float]) -> pa.Array:
    """Return numbers in which those that stand for a missing value are null."""
    for number in nulls:
        same = np.isclose(numbers(array), number, rtol=1e-9, atol=0.0)
        if same.any():
            array = pc.if_else(pa.array(same), pa.scalar(None, array.type), array)
    return array


def seconds_of(array: pa.Array) -> pa.Array | None:
    """Return dates, times and durations as seconds, to the microsecond, or None for another type.

    Values beyond the years that calendars know are seconds, too.
    """
    kind = array.type
    if not pa.types.is_temporal(kind) or pa.types.is_interval(kind):
        return None
    ticks = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    unit = {pa.date32(): "day", pa.date64(): "ms"}.get(kind) or kind.unit
    if unit == "ns":
        ticks, unit = pc.divide(ticks, 1000), "us"
    seconds = ticks.cast(pa.float64(), safe=False)
    return pc.divide(seconds, TICKS[unit]) if unit in TICKS else pc.multiply(seconds, 86_400.0)


def _as_text(array: pa.Array) -> pa.DictionaryArray:
    """Return numbers or booleans as text: whole ones without a fraction."""
    distinct = pc.dictionary_encode(array)
    words = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).lower()
        if isinstance(value, bool) else str(value)
        for value in distinct.dictionary.to_pylist()
    ]  # fmt: skip
    return pa.DictionaryArray.from_arrays(distinct.indices.cast(pa.int32()), pa.array(words))


def _typed_text(name: str, texts: Texts, layout: Layout, codes: bool) -> TypedColumn:
    if not texts.words:
        return TypedColumn(name, "number", texts.numbers({}))
    if {word.lower() for word in texts.words} <= {"true", "false"}:
        truth = {word: float(word.lower() == "true") for word in texts.words}
        return TypedColumn(name, "boolean", texts.numbers(truth).cast(pa.bool_()))
    padded = _padded(texts) if codes else ""
    if padded and len(texts.words) <= MOST_CODES and layout.decimal is None:
        note = (
            f"column '{name}': {padded!r} begins with 0: read as codes of categories; "
            "data.decimal=. for numbers"
        )
        return replace(_as_categories(name, texts), notes=(note,))
    column = _as_numbers(name, texts, layout) or as_dates(name, texts, layout)
    if column is None:
        return _as_categories(name, texts)
    if padded and column.content == "number":
        note = (
            f"column '{name}': {padded!r} read as the number {int(padded)}; "
            f"{list_override('data.categorical', name)} for codes of categories"
        )
        return replace(column, notes=(*column.notes, note))
    return column


def _padded(texts: Texts) -> str:
    """Return a text with a leading zero, if all texts are whole numbers; else an empty text."""
    if not all(word.isascii() and word.isdigit() for word in texts.words):
        return ""
    return next((word for word in texts.words if len(word) > 1 and word[0] == "0"), "")


def _is_promising(texts: Texts, parse: Callable[[list[str]], int]) -> bool:
    sample = [word for word in texts.words if word.lower() not in WEAK_MARKERS][:SAMPLE]
    return bool(sample) and parse(sample) > (MOSTLY_NUMBERS / 2) * len(sample)


def _as_numbers(name: str, texts: Texts, layout: Layout) -> TypedColumn | None:
    """Return a column of numbers, if its texts are numbers; else None."""
    formats = formats_for(layout.decimal, layout.thousands)
    if not _is_promising(texts, lambda sample: len(best_format(sample, formats)[1])):
        return None
    form, values = best_format(texts.words, formats)
    if len(set(values.values())) < len(values) and any(len(word) > EXACT for word in values):
        return None  # numbers too long for floats, such as codes: different texts stay different
    others = [word for word in texts.words if word not in values]
    weak = [word for word in others if word.lower() in WEAK_MARKERS]
    stray = [word for word in others if word.lower() not in WEAK_MARKERS]
    present = int(texts.counts.sum()) - texts.count(weak)
    notes = []
    if stray:
        if texts.count(stray) >= (1 - MOSTLY_NUMBERS) * present or len(stray) > MOST_STRAY:
            return None
        if len(texts.words) <= FEW_VALUES and present >= 3 * len(texts.words):
            return None
        raise stray_values(name, texts, stray, present, layout, "numbers")
    if weak:
        notes.append(
            f"column '{name}': {counted(texts.count(weak), 'value')} such as {weak[0]!r} read as "
            "missing"
        )
    plain = NumberFormat()
    pattern = ""
    if shown := disguises(texts.words):
        pattern = str(form)
        if form != plain or plain.parse(shown) is not None:
            notes.append(
                f"column '{name}': {shown!r} read as the number {values.get(shown, np.nan):.15g}"
                + _doubt(form, texts.words, layout)
            )
    array = without_numbers(texts.numbers(values), layout.null_numbers)
    return TypedColumn(name, "number", array, pattern, tuple(notes))


def _doubt(form: NumberFormat, words: Sequence[str], layout: Layout) -> str:
    """Return the key to set if the texts could be read in another way, too."""
    if layout.decimal is not None or form.thousands not in (",", "."):
        return ""
    if any(form.decimal in word for word in words):
        return ""
    key = shell_word(f"data.decimal={override_value(form.thousands)}")
    return f"; {key} if '{form.thousands}' begins the fraction"


def _as_categories(name: str, texts: Texts) -> TypedColumn:
    """Return a column of text, in which texts that differ in case or blanks only are one."""
    spellings: dict[str, list[int]] = {}
    for place, word in enumerate(texts.words):
        spellings.setdefault(key_of(word), []).append(place)
    names, merged = list[str](), np.full(len(texts.words) + 1, -1, dtype=np.int64)
    notes = list[str]()
    for places in spellings.values():
        best = min(places, key=lambda place: (-texts.counts[place], texts.words[place]))
        merged[places] = len(names)
        names.append(" ".join(texts.words[best].split()))
        if len(places) > 1 and len(notes) < 1:
            shown = in_words(repr(texts.words[place]) for place in places[:3])
            notes.append(f"column '{name}': {printable(shown)} are one category")
    rows = merged[texts.places]
    indices = pa.array(rows.astype(np.int32), mask=rows < 0)
    values = pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))
    return TypedColumn(name, "text", values, notes=tuple(notes))


def reread(column: TypedColumn, pattern: str, content: str) -> TypedColumn:
    """Return a column of text with numbers or dates read as in an earlier file.

    Args:
        column: text, which may be numbers of another form.
        pattern: of the earlier file.
        content: ``number`` or ``date``.

    Raises:
        UserError: a text is none.
    """
    texts = Texts.of(column.values, Layout())
    parse = (NumberFormat.from_text(pattern) if content == "number" else DateFormat(pattern)).parse
    values = {word: value for word in texts.words if (value := parse(word)) is not None}
    stray = [w for w in texts.words if w not in values and w.lower() not in WEAK_MARKERS]
    if stray:
        bad = texts.rows_with(stray)
        kind = {"number": "numbers", "date": f"dates ({pattern})"}[content]
        raise UserError(
            f"column '{column.name}' has text in {len(bad)} of {int(texts.counts.sum())} rows: "
            f"{printable(in_words(map(repr, stray[:3])))}, first in {first_rows(bad)}: expected "
            f"{kind}, as in the training data"
        )
    return TypedColumn(column.name, content, texts.numbers(values))  # type: ignore[arg-type]
