"""Texts that stand for a missing value."""

from __future__ import annotations

NULL_MARKERS = (
    "", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A", "<NA>", "NaT",
)  # fmt: skip
"""Texts that stand for a missing value in every column."""

WEAK_MARKERS = frozenset({
    "-", "--", "---", ".", "..", "...", "*", "n.a.", "n.d.", "nd", "none", "missing", "unknown",
    "nil", "na", "n/a", "#div/0!", "#value!", "#ref!", "#num!", "#n/a",
})  # fmt: skip
"""Texts, in lower case, that stand for a missing value in a column of numbers or of dates."""
