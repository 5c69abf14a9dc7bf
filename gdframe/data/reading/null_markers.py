"""Texts that stand for a missing value."""

from __future__ import annotations

NULL_MARKERS = (
    "", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "NaT",
    "#NULL!", "#N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!",
)  # fmt: skip
"""Texts that stand for a missing value in every column; spreadsheets show those with ``#``."""

WEAK_MARKERS = frozenset({
    "-", "--", "---", ".", "..", "...", "*", "n.a.", "n.d.", "nd", "none", "missing", "unknown",
    "nil", "na", "n/a", "#div/0!", "#value!", "#ref!", "#num!", "#n/a", "#null!", "#name?",
})  # fmt: skip
"""Texts, in lower case, that stand for a missing value in a column of numbers or of dates."""
