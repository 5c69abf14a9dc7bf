"""The encoding of a table column by column: each is freed once its features are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.data.encoding import Encoding, fit_moments
from gdframe.data.frame import Column, Frame, first_rows
from gdframe.errors import UserError, counted

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def encode_columns(
    frame: Frame,
    parts: Sequence[NDArray[np.int64]],
    *,
    standardize: bool,
    missing: str,
    dtype: np.dtype[Any],
) -> tuple[Encoding, list[NDArray[Any]]]:
    """Return the encoding, fitted on the rows of the first part, and the features of each part.

    The values of a disposable frame are gone then.

    Args:
        frame: with one array for each column.
        parts: the rows of each part.
        standardize: whether features get mean 0 and deviation 1.
        missing: ``error``, or else missing values take the mean.
        dtype: of the features.

    Raises:
        UserError: a value is infinite, or missing although that is an error.
    """
    means, scales, fills = list[Any](), list[Any](), list[Any]()
    encoded: list[list[NDArray[Any]]] = [[] for _ in parts]
    for place, column in enumerate(frame.columns):
        raw = frame.values[place]
        require_finite(column, raw, missing)
        centre, deviation = _moments(column, raw, parts[0], frame.weights)
        scale = np.where(deviation > 0, np.maximum(deviation, column.least_scale), 1.0)
        mean = centre if standardize else np.zeros_like(centre)
        scale = scale if standardize else np.ones_like(centre)
        fill = None if missing == "error" else centre
        alone = Encoding([column], mean, scale, fill)
        for features, rows in zip(encoded, parts, strict=True):
            features.append(_features(alone, raw, rows, dtype))
        means.append(mean)
        scales.append(scale)
        fills.append(centre)
        if frame.disposable and isinstance(frame.values, list):
            frame.values[place] = np.empty(0)
        del raw
    encoding = Encoding(
        frame.columns,
        np.concatenate(means),
        np.concatenate(scales),
        None if missing == "error" else np.concatenate(fills),
        frame.target_name,
        frame.classes,
        frame.reading,
    )
    return encoding, [_joined(features, dtype) for features in encoded]


def _is_number(column: Column) -> bool:
    return column.kind in ("number", "boolean")


def _moments(
    column: Column, raw: NDArray[Any], rows: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> Moments:
    """Return mean and deviation of each feature of a column, as ``fit_moments`` does."""
    if not _is_number(column) or weights is not None:
        return fit_moments([column], [raw], rows, weights)
    values = raw[rows].astype(np.float64, copy=False)  # a copy, which is changed in place
    if np.isnan(values).any():
        values = values[~np.isnan(values)]
    if not len(values):
        return np.zeros(1), np.zeros(1)
    first = values[0]  # subtracted, so that equal values give exactly zero
    values -= first
    mean = values.mean()
    values -= mean
    deviation = float(np.sqrt(np.square(values, out=values).mean()))
    rounding = 8 * np.finfo(np.float64).eps * abs(first + mean) * np.sqrt(len(values))
    return np.array([first + mean]), np.array([0.0 if deviation <= rounding else deviation])


def _features(
    encoding: Encoding, raw: NDArray[Any], rows: NDArray[np.int64], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return the features of a column, (rows, width); of a number, (rows,)."""
    if not _is_number(encoding.columns[0]):
        return encoding.transform([raw], rows, dtype)
    values = raw[rows].astype(np.float64, copy=False)
    if encoding.fill is not None:
        np.copyto(values, encoding.fill[0], where=np.isnan(values))
    values -= encoding.mean[0]
    values /= encoding.scale[0]
    return values.astype(dtype)


def _joined(columns: list[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return columns side by side, (rows, features); the list is empty then."""
    width = sum(1 if column.ndim == 1 else column.shape[1] for column in columns)
    out = np.empty((len(columns[0]), width), dtype=dtype)
    end = width
    while columns:
        column = columns.pop()
        size = 1 if column.ndim == 1 else column.shape[1]
        out[:, end - size : end] = column[:, None] if column.ndim == 1 else column
        end -= size
    return out


def require_finite(column: Column, raw: NDArray[Any], missing: str) -> None:
    """Check that a column has no infinite values, and missing ones only if they are imputed.

    Raises:
        UserError: it has.
    """
    if column.kind == "words":
        return
    if column.kind == "category":
        infinite, absent = np.zeros(len(raw), dtype=bool), raw < 0
    else:
        if np.isfinite(raw).all():
            return
        infinite, absent = np.isinf(raw), np.isnan(raw)
    if infinite.any():
        bad = np.flatnonzero(infinite)
        raise UserError(
            f"column '{column.name}' has {counted(len(bad), 'infinite value')}, first in "
            f"{first_rows(bad)}: correct them or remove those rows"
        )
    if missing == "error" and absent.any():
        bad = np.flatnonzero(absent)
        raise UserError(
            f"column '{column.name}' has {counted(len(bad), 'missing value')}, first in "
            f"{first_rows(bad)}: remove those rows, or impute the training mean with "
            "data.missing=mean"
        )


def encode_array(
    frame: Frame,
    parts: Sequence[NDArray[np.int64]],
    *,
    standardize: bool,
    missing: str,
    dtype: np.dtype[Any],
) -> tuple[Encoding, list[NDArray[Any]]]:
    """Return what ``encode_columns`` returns, of a frame whose values are one array of numbers."""
    assert isinstance(frame.values, np.ndarray)
    for column, values in zip(frame.columns, frame.values.T, strict=True):
        require_finite(column, values, missing)
    width = len(frame.columns)
    mean, scale, fill = np.zeros(width), np.ones(width), None
    if standardize or missing != "error":
        centre, deviation = fit_moments(frame.columns, frame.values, parts[0], frame.weights)
        fill = centre if missing != "error" else None
        if standardize:
            mean, scale = centre, np.where(deviation > 0, deviation, 1.0)
    encoding = Encoding(frame.columns, mean, scale, fill, frame.target_name, frame.classes)
    return encoding, [encoding.transform(frame.values, rows, dtype) for rows in parts]
