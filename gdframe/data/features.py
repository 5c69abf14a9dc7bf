"""The features of a table: a description and the raw values of each typed column."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gdframe.data.calendar_parts import varying_parts
from gdframe.data.frame import ABSENT, Column, first_rows
from gdframe.data.label_text import key_of
from gdframe.data.list_override import list_override
from gdframe.data.reading.arrays import is_text, kind_of, numbers
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.typed import reread, typed
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.data.row_names import FEW_ROWS, IDENTIFIER
from gdframe.errors import UserError, counted, in_words, printable

log = logging.getLogger("gdframe")

INDICATOR = 0.5
"""Smallest divisor of features that are 0 or 1: the largest deviation that they can have."""

WORDS = 1024
"""Features of a column of hashed words."""


def describe(column: TypedColumn, max_categories: int, *, hashed: bool = False) -> Column:
    """Return the description of a raw feature.

    Args:
        column: with the type of what it holds.
        max_categories: most different texts.
        hashed: whether text with more of them becomes hashed words.

    Raises:
        UserError: there are too many categories, or the type is unusable.
    """
    name, values = column.name, column.values
    if column.content == "unusable":
        raise UserError(
            f"column '{name}' is of type {kind_of(values)}: expected numbers, true/false, dates or "
            f"text; convert it, or leave it out with {list_override('data.exclude', name)}"
        )
    if column.content == "text":
        categories = sorted(text for text in values.dictionary.to_pylist() if text is not None)
        are_long = len(categories) > min(max_categories, IDENTIFIER * max(len(values), FEW_ROWS))
        if hashed and are_long:
            return Column(name, "words", tuple(map(str, range(WORDS))), least_scale=INDICATOR)
        if len(categories) > max_categories:
            raise UserError(
                f"column '{name}' has {len(categories)} different texts in {len(values)} rows, "
                f"more than data.max_categories={max_categories}: leave it out with "
                f"{list_override('data.exclude', name)}, take its words with "
                f"data.text=hash, or set data.max_categories={len(categories)}"
            )
        return Column(name, "category", tuple(categories), least_scale=INDICATOR)
    array = numbers(values)
    if column.content == "date":
        return Column(name, "date", varying_parts(array), column.pattern)
    low, high = _range(array)
    if column.content == "boolean":
        return Column(name, "boolean", least_scale=INDICATOR)
    is_two = low < high and bool(((array == low) | (array == high) | np.isnan(array)).all())
    kind, least = ("boolean", INDICATOR * (high - low)) if is_two else ("number", 0.0)
    return Column(name, kind, pattern=column.pattern, least_scale=least)  # type: ignore[arg-type]


def _range(array: NDArray[Any]) -> tuple[float, float]:
    finite = array[np.isfinite(array)] if not np.isfinite(array).all() else array
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def raw_values(
    column: Column, array: pa.ChunkedArray | pa.Array | TypedColumn, layout: Layout | None = None,
    *, unknown_is_missing: bool = False,
) -> NDArray[Any]:  # fmt: skip
    """Return a raw feature's values in the form that ``Frame`` and ``Encoding`` take.

    Args:
        column: the description of the feature, perhaps of an earlier file.
        array: the column as read from a file, or typed.
        layout: of the file.
        unknown_is_missing: whether a category that the description lacks is a missing value, with
            a warning that counts them.

    Raises:
        UserError: the values are not of the column's kind, or a category is unknown.
    """
    if not isinstance(array, TypedColumn):
        array = _read_again(column, array, layout or Layout())
    values = array.values
    if column.kind == "category":
        return _codes(column, array, unknown_is_missing)
    if column.kind == "words":
        return _word_places(column, array)
    fitting = {"date": ("date",), "number": ("number", "boolean"), "boolean": ("number", "boolean")}
    if array.content not in fitting[column.kind]:
        kinds = {"date": "dates", "boolean": "numbers or true/false", "number": "numbers"}
        raise UserError(
            f"column '{column.name}' is of type {_type_of(array)}: expected {kinds[column.kind]}"
            f"{_example(array)}"
        )
    return numbers(values)


def _read_again(column: Column, array: pa.ChunkedArray | pa.Array, layout: Layout) -> TypedColumn:
    """Return a column of a later file, with text read as in the file of the training data.

    Only where a date is not of the form of there, all may be of another form.
    """
    as_text = column.kind in ("category", "words") or bool(column.pattern)
    read = typed(column.name, array, layout, text=as_text)
    if not column.pattern or read.content != "text":
        return read
    if column.kind != "date":
        return reread(read, column.pattern, "number")
    try:
        return reread(read, column.pattern, "date")
    except UserError:
        with suppress(UserError):  # the other error names the form of the training data
            read = typed(column.name, array, layout)
        if read.content == "date" and read.pattern != column.pattern:
            return read
        raise


def _type_of(column: TypedColumn) -> str:
    return kind_of(column.values) if column.content in ("text", "unusable") else column.content


def _example(column: TypedColumn) -> str:
    if column.content != "text" or not len(column.values.dictionary):
        return ""
    return f", but it holds text such as {printable(column.values.dictionary[0].as_py())!r}"


def _codes(column: Column, typed_column: TypedColumn, unknown_is_missing: bool) -> NDArray[Any]:
    """Return the index of each row's category, (rows,); -1 for missing ones without a category."""
    array = typed_column.values
    if not is_text(array):
        raise UserError(f"column '{column.name}' is of type {kind_of(array)}: expected text")
    exact = {text: place for place, text in enumerate(column.categories)}
    alike = {key_of(text): place for place, text in reversed(list(enumerate(column.categories)))}
    texts = array.dictionary.to_pylist()
    places = [exact.get(text, alike.get(key_of(text), -2)) for text in texts]
    absent = exact.get(ABSENT, -1)
    indices = array.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    codes: NDArray[np.int32] = np.array([*places, absent], dtype=np.int32)[indices]
    bad = np.flatnonzero(codes == -2)
    if len(bad):
        example = repr(texts[indices[bad[0]]])
        if not unknown_is_missing:
            raise UserError(
                f"column '{column.name}' has the category {printable(example)}, which the training "
                f"data does not have, first in {first_rows(bad)}: expected one of "
                f"{in_words(filter(None, column.categories))}"
            )
        log.warning(
            "warning: column '%s': %s that the training data does not have, such as %s, first in "
            "%s: treated as missing; --strict refuses them", printable(column.name),
            counted(len(bad), "value"), printable(example), first_rows(bad),
        )  # fmt: skip
        codes[bad] = absent
    return codes


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case and without marks around them."""
    return [word for part in text.casefold().split() if (word := part.strip(".,;:!?\"'()[]{}<>"))]


def _word_places(column: Column, typed_column: TypedColumn) -> NDArray[Any]:
    """Return for each row the indices of its words' features, as arrays, (rows,)."""
    if not is_text(typed_column.values):
        raise UserError(
            f"column '{column.name}' is of type {_type_of(typed_column)}: expected text"
        )
    width = column.width
    none = np.zeros(0, dtype=np.int64)
    by_text: list[NDArray[np.int64]] = [
        np.unique([zlib.crc32(word.encode()) % width for word in words_of(text)]).astype(np.int64)
        for text in typed_column.values.dictionary.to_pylist()
    ]
    indices = typed_column.values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    out = np.empty(len(indices), dtype=object)
    for row, index in enumerate(indices.tolist()):
        out[row] = by_text[index] if index >= 0 else none
    return out


def kinds_in_words(columns: Sequence[Column]) -> str:
    """Return how many columns are of each kind, such as ``3 numbers, 1 category``."""
    nouns = {
        "number": ("number", "numbers"), "boolean": ("of two values", "of two values"),
        "category": ("category", "categories"), "date": ("date", "dates"),
        "words": ("text", "texts"),
    }  # fmt: skip
    counts = {kind: sum(column.kind == kind for column in columns) for kind in nouns}
    return in_words(
        f"{count:,} {nouns[kind][count > 1]}" for kind, count in counts.items() if count
    )
