"""Parts of dates as features: year, month, weekday, hour, and the time in days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PARTS = ("year", "month", "weekday", "hour", "days")
"""Parts of a date. ``days`` counts from the first of January 1970, with a fraction."""

SAME = 0.99
"""Correlation with the time from which on a part adds nothing to it."""


def parts_of(seconds: NDArray[np.float64], parts: Sequence[str]) -> NDArray[np.float64]:
    """Return parts of dates, (rows, parts); NaN for missing ones.

    Args:
        seconds: since 1970, (rows,); NaN for a missing date.
        parts: names from ``PARTS``.

    Example:
        >>> parts_of(np.array([86400.0 * 31 + 3600]), ["year", "month", "weekday", "hour"]).tolist()
        [[1970.0, 2.0, 6.0, 1.0]]
    """
    is_missing = np.isnan(seconds)
    days = np.floor(np.where(is_missing, 0.0, seconds) / 86400)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]").astype(np.int64)
    by_name = {
        "year": months // 12 + 1970,
        "month": months % 12 + 1,
        "weekday": (days.astype(np.int64) + 3) % 7,  # 1970 began on a Thursday; Monday is 0
        "hour": np.floor(np.where(is_missing, 0.0, seconds) / 3600 - 24 * days),
        "days": np.where(is_missing, 0.0, seconds) / 86400,
    }
    out = np.empty((len(seconds), len(parts)))
    for place, part in enumerate(parts):
        out[:, place] = by_name[part]
    out[is_missing] = np.nan
    return out


def varying_parts(seconds: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the parts that vary over the dates and do not follow from the time alone.

    The weekday of dates that all begin a month, such as those of quarters, tells nothing.
    """
    present = seconds[~np.isnan(seconds)]
    values = parts_of(present, PARTS)
    days = values[:, -1]
    dates = np.floor(days).astype("datetime64[D]")
    begin_months = bool((dates == dates.astype("datetime64[M]")).all())
    chosen = []
    for place, part in enumerate(PARTS[:-1]):
        column = values[:, place]
        if part == "weekday" and begin_months:
            continue
        if len(column) and column.min() < column.max():
            with np.errstate(invalid="ignore"):
                alike = abs(np.corrcoef(column, days)[0, 1])
            if not alike > SAME:
                chosen.append(part)
    return (*chosen, "days")
