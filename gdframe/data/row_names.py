"""Columns that number or name the rows, such as an index or an identifier."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from gdframe.data.reading.arrays import missing_in, numbers
from gdframe.data.reading.typed_column import TypedColumn

ROW_NAMES = re.compile(
    r"|c1|unnamed(: ?\d+|_\d+)?|__index_level_\d+__|index|row[_ ]?(names?|ids?|num(ber)?s?|no)?|"
    r"uuid|guid|no\.?|nr\.?|obs|observation|record|instant|#",
    re.IGNORECASE,
)
"""Names of columns that may number or name the rows, beside those that end with ``id``."""

WORD = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
"""A word of a name such as ``store_num`` or ``storeNum``."""

OTHER_WORDS = frozenset({
    "paid", "unpaid", "prepaid", "repaid", "overpaid", "laid", "said", "bid", "overbid", "rebid",
    "grid", "acid", "fluid", "liquid", "solid", "aid", "lipid", "void", "covid", "mid", "kid",
    "humid", "valid", "invalid", "rapid", "steroid", "thyroid", "asteroid", "centroid", "hybrid",
    "android", "madrid", "opioid", "plasmid", "typhoid", "squid", "orchid", "raid", "avoid",
    "platinum", "aluminum", "molybdenum", "enum",
})  # fmt: skip
"""Words that end with ``id`` or ``num`` and name no identifier."""

KEYS = frozenset({"key", "code", "number", "num", "no", "nr", "fips", "zip"})
"""Last words of names of identifiers, perhaps of something else than rows."""

NAMES = re.compile(r"(?i:names?)")
"""Names of columns of text that may name the rows."""

IDENTIFIER = 0.9
"""Share of rows with a value of their own from which on a column names its rows."""

FEW_ROWS = 20
"""Rows below which values that all differ may be categories or amounts."""

LEAST_PART = 10
"""Rows on average of tables that were joined, each with an index of its rows."""


def row_identity(column: TypedColumn, place: int, *, has_corner: bool) -> str:
    """Return why a column numbers or names the rows, or an empty text.

    All rows of a table count, also those without a target: what numbers them has gaps without them.

    Args:
        column: of the table.
        place: of the column, from 0.
        has_corner: whether a header names all columns but the first.
    """
    is_corner = has_corner and place == 0
    name = "" if is_corner else column.name
    last = WORD.findall(name)[-1].lower() if WORD.search(name) else ""
    is_key = last in KEYS or (last.endswith("num") and last not in OTHER_WORDS)
    is_id = last.endswith("id") and last not in OTHER_WORDS
    is_row_name = is_id or bool(ROW_NAMES.fullmatch(name))
    if name.lower() == "c1":  # a file without a header may begin with any column
        is_row_name = name == "c1" and place == 0 and column.content == "number"
    if column.content == "text":
        is_row_name |= bool(NAMES.fullmatch(name))
        count, rows = len(column.values.dictionary), len(column.values)
        return "it names the rows" if is_row_name and 3 <= rows == count else ""
    if column.content != "number" or not (is_row_name or is_key):
        return ""
    array = numbers(column.values)
    if len(array) < 3 or missing_in(column.values) or not (array == np.round(array)).all():
        return ""
    if is_row_name and (_counts_up(array, again=is_corner) or (name != "c1" and _differ(array))):
        return "it numbers the rows"
    if is_key and len(array) >= FEW_ROWS and _differ(array):
        return "its whole numbers differ in nearly each row, as identifiers do"
    return ""


def _counts_up(array: NDArray[np.float64], *, again: bool) -> bool:
    """Return whether numbers count up from 0 or 1, perhaps again for each of a few tables."""
    starts = (array[1:] == array[0]) & again
    if starts.sum() > len(array) / LEAST_PART:
        return False
    return bool(array[0] in (0, 1) and ((np.diff(array) == 1) | starts).all())


def _differ(array: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(array).all() and len(np.unique(array)) >= IDENTIFIER * len(array))
