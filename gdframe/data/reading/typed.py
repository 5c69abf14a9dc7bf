"""Typed columns: text that holds numbers, true and false or dates becomes what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gdframe.data.frame import first_rows
from gdframe.data.label_text import key_of
from gdframe.data.reading.arrays import is_number, is_text, numbers, plain
from gdframe.data.reading.dates import DateFormat, date_format
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.null_markers import WEAK_MARKERS
from gdframe.data.reading.numerals import NumberFormat, best_format, disguises, formats_for
from gdframe.errors import UserError, counted, in_words, override_value, printable

SAMPLE = 200
"""Different texts by which it is decided what the texts of a column may be."""

MOSTLY_NUMBERS = 0.5
"""Share of numbers above which a text column counts as numbers with errors."""

MOST_STRAY = 5
"""Most different texts among numbers that count as errors; with more, the column is text."""

EXACT = 15
"""Digits up to which floats hold each whole number."""

FEW_VALUES = 10
"""Most different values of a column of numbers and text that are categories if they repeat."""

TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6}
"""Units of time in a second."""

Content = Literal["number", "boolean", "date", "text", "unusable"]


@dataclass(frozen=True)
class TypedColumn:
    """A column with the type of what it holds.

    Args:
        name: of the column.
        content: what it holds; ``unusable`` for lists, bytes and the like.
        values: floats, booleans, seconds since 1970, or text in a dictionary; nulls are missing.
        pattern: how numbers or dates are written, if not plainly; see ``NumberFormat`` and
            ``DateFormat``.
        notes: on what was read as what, a sentence each.
    """

    name: str
    content: Content
    values: pa.Array
    pattern: str = ""
    notes: tuple[str, ...] = ()


def typed(name: str, column: pa.ChunkedArray, layout: Layout, *, text: bool = False) -> TypedColumn:
    """Return a column with the type of what it holds.

    Args:
        name: of the column.
        column: as read from a file.
        layout: null markers, and how numbers are written.
        text: whether to leave numbers as text, as categories.

    Raises:
        UserError: text among numbers seems to be an error.
    """
    array = plain(column)
    if is_text(array):
        return _typed_text(name, Texts.of(array, layout), layout, leave=text)
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


@dataclass(frozen=True)
class Texts:
    """The different texts of a column.

    Args:
        words: the texts without blanks around them, that are no null markers.
        places: (rows,) index of each row's text; -1 for a missing value.
        counts: rows of each text.
    """

    words: list[str]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, array: pa.Array, layout: Layout) -> Texts:
        """Return the texts of an array of text."""
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        markers = set(layout.markers)
        stripped = [None if t is None else t.strip() for t in array.dictionary.to_pylist()]
        places: dict[str, int] = {}
        order = [
            -1 if text is None or text in markers else places.setdefault(text, len(places))
            for text in stripped
        ]
        indices = array.indices.fill_null(len(order)).to_numpy(zero_copy_only=False)
        rows = np.array([*order, -1], dtype=np.int64)[indices]
        counts = np.bincount(rows[rows >= 0], minlength=len(places))
        used = counts > 0
        if not used.all():  # a dictionary may hold texts of no row
            renumbered = np.append(np.cumsum(used) - 1, -1)
            rows, counts = renumbered[rows], counts[used]
            return cls([w for w, u in zip(places, used, strict=True) if u], rows, counts)
        return cls(list(places), rows, counts)

    def numbers(self, by_text: Mapping[str, float]) -> pa.Array:
        """Return the number of each row's text as floats, null where there is none."""
        values = np.array([by_text.get(word, np.nan) for word in self.words] + [np.nan])[
            self.places
        ]
        is_known = np.array([word in by_text for word in self.words] + [False])[self.places]
        return pa.array(values, mask=~is_known)

    def rows_with(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows whose text is one of some."""
        chosen = set(words)
        marked = np.array([word in chosen for word in self.words] + [False])
        return np.flatnonzero(marked[self.places])

    def count(self, words: Sequence[str]) -> int:
        """Return the number of rows whose text is one of some."""
        chosen = set(words)
        return sum(int(c) for w, c in zip(self.words, self.counts, strict=True) if w in chosen)


def _typed_text(name: str, texts: Texts, layout: Layout, *, leave: bool) -> TypedColumn:
    if not leave:
        if not texts.words:
            return TypedColumn(name, "number", texts.numbers({}))
        if {word.lower() for word in texts.words} <= {"true", "false"}:
            truth = {word: float(word.lower() == "true") for word in texts.words}
            return TypedColumn(name, "boolean", texts.numbers(truth).cast(pa.bool_()))
        readers = (_as_numbers, _as_dates)
        for reader in readers:
            column = reader(name, texts, layout)
            if column is not None:
                return column
    return _as_categories(name, texts)


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
        raise stray_text(name, texts, stray, present)
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
    return f"; data.decimal='{form.thousands}' if '{form.thousands}' begins the fraction"


def stray_text(name: str, texts: Texts, stray: Sequence[str], present: int) -> UserError:
    """Return the error for a few texts in a column of numbers."""
    bad = texts.rows_with(stray)
    shown = in_words(repr(texts.words[int(texts.places[row])]) for row in bad[:3])
    listed = ",".join(map(override_value, stray))
    return UserError(
        f"column '{name}' has text in {len(bad)} of {present} rows where the others are "
        f"numbers: {printable(shown)}, first in {first_rows(bad)}: correct them, or set "
        f"data.null_values=[{printable(listed)}] if they stand for a missing value, or "
        f"data.categorical=[{override_value(name)}] if the values are categories"
    )


def _as_dates(name: str, texts: Texts, layout: Layout) -> TypedColumn | None:
    """Return a column of dates as seconds since 1970, if its texts are dates; else None."""
    words = [word for word in texts.words if word.lower() not in WEAK_MARKERS]
    if not any(character.isdigit() for character in (words or [""])[0]):
        return None
    if not words or date_format(words[:SAMPLE]) is None:
        return None
    result = date_format(words)
    if result is None:
        return None
    form, values = result
    notes = [f"column '{name}': {words[0]!r} read as a date ({form.form.replace('-', ', ')})"]
    if form.form == "day-month-year" and all(
        DateFormat("month-day-year").parse(word) is not None for word in words
    ):
        notes[0] += ", which could be month, day, year as well: write year-month-day to be sure"
    return TypedColumn(name, "date", texts.numbers(values), form.form, tuple(notes))


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
