"""From a frame to tensors: the split, the preprocessing fitted on training rows, the tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.column_encoding import encode_array, encode_columns
from gdframe.data.encoding import Encoding
from gdframe.data.frame import Frame, first_rows
from gdframe.data.rows import Rows
from gdframe.data.split import Parts, Split, split_rows
from gdframe.data.weights import checked_weights
from gdframe.errors import UserError, counted, in_words, printable

Missing = Literal["error", "mean", "drop"]
"""Treatment of missing values; see ``Table``."""

LOST = 1e-3
"""Rounding of targets, in units of their standard deviation, that would be lost."""


class Prepared(NamedTuple):
    """The parts of a data set, ready for training.

    Args:
        parts: rows by the name of the part: ``train`` and perhaps others.
        encoding: fitted on training rows.
        facts: what was read, for ``result.json``.
        notes: what was read, a line each.
    """

    parts: dict[str, Rows]
    encoding: Encoding
    facts: dict[str, Any]
    notes: list[str]


def prepared(
    frame: Frame, split: Split, *, standardize: bool, missing: Missing, dtype: torch.dtype
) -> Prepared:
    """Return the rows of a frame: split, with preprocessing fitted on its training rows.

    Raises:
        UserError: there are no rows, only one class, values that are not finite, or too few rows.
    """
    _check(frame)
    if frame.weights is not None:
        frame = replace(frame, weights=_checked(frame.weights, frame.rows))
    rows = split_rows(
        split, frame.rows, classes=frame.target if frame.classes else None, keys=frame.split_keys
    )
    _check_classes(frame, rows.train, split)
    names = [name for name, part in rows._asdict().items() if name == "train" or len(part)]
    indices = [getattr(rows, name) for name in names]
    width, numpy_type = len(frame.feature_names), np.dtype(str(dtype).split(".")[1])
    encode = encode_array if isinstance(frame.values, np.ndarray) else encode_columns
    encoding, features = encode(
        frame, indices, standardize=standardize, missing=missing, dtype=numpy_type
    )
    if frame.reading and frame.classes is None:  # predict adds it again
        encoding = replace(encoding, offset=_offset(frame.target[rows.train], dtype))
    parts = {
        name: Rows(
            torch.from_numpy(array),
            _targets(frame, index, encoding, dtype),
            weights=None if frame.weights is None else torch.from_numpy(frame.weights[index]),
        )
        for name, index, array in zip(names, indices, features, strict=True)
    }
    facts, added = _facts(frame, split, rows, width), _split_notes(split, rows)
    added += _offset_notes(encoding, dtype)
    return Prepared(parts, encoding, with_notes(facts, added), [*frame.notes, *added])


def _checked(weights: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return the weights of a frame, which a source of others may have made."""
    if np.shape(weights) != (rows,):
        raise UserError(
            f"weights have shape {np.shape(weights)}: expected one for each row, ({rows},)"
        )
    checked = checked_weights(np.asarray(weights), "weights")
    if not checked.all():
        raise UserError("weights have a zero: leave rows of weight 0 out")
    return checked


def with_notes(facts: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """Return facts for ``result.json`` with further lines on what was read."""
    if not notes:
        return dict(facts)
    return {**facts, "notes": [*facts.get("notes", []), *map(printable, notes)]}


def _targets(
    frame: Frame, index: NDArray[np.int64], encoding: Encoding, dtype: torch.dtype
) -> Tensor:
    """Return the targets of rows: class indices (rows,), or numbers (rows, outputs)."""
    target = np.ascontiguousarray(frame.target[index])
    if frame.classes is not None:
        return torch.from_numpy(target).to(torch.int64)
    if encoding.offset:
        target = target.reshape(len(index), -1) - encoding.shift
    return torch.from_numpy(target).to(dtype).reshape(len(index), -1)


def _offset(targets: NDArray[Any], dtype: torch.dtype) -> tuple[float, ...]:
    """Return what to subtract from targets, (outputs,), that rounding would make equal, else ()."""
    values = targets.reshape(len(targets), -1).astype(np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    rounding = torch.finfo(dtype).eps * np.abs(mean)
    is_lost = (rounding > LOST * deviation) & (deviation > 0)
    return tuple(np.where(is_lost, mean, 0.0).tolist()) if is_lost.any() else ()


def _offset_notes(encoding: Encoding, dtype: torch.dtype) -> list[str]:
    """Return a line on targets that are shifted."""
    if not encoding.offset:
        return []
    amounts = in_words(f"{value:.6g}" for value in encoding.offset)
    return [
        f"target '{printable(encoding.target_name)}' is shifted by {amounts}: {dtype} cannot tell "
        "its values apart so far from zero; predictions and coefficients are in its own units"
    ]


def _check_classes(frame: Frame, train: NDArray[np.int64], split: Split) -> None:
    """Check that the training rows have every class; a split at random sees to that."""
    if frame.classes is None:
        return
    counts = np.bincount(frame.target[train], minlength=len(frame.classes))
    absent = [str(frame.classes[place]) for place in np.flatnonzero(counts == 0)]
    if absent and split.by != "random":
        raise UserError(
            f"split={split.by}: no training row is of class {in_words(absent)}; choose other "
            "shares, another data.seed, or split=random"
        )


def _split_notes(split: Split, parts: Parts) -> list[str]:
    """Return a line on a split that is not the plain one into training and validation rows."""
    if split.by == "random" and split.fold is None and not len(parts.test):
        return []
    counts = in_words(
        f"{counted(len(rows), 'row')} {verb}"
        for rows, verb in zip(parts, ("train", "validate", "test"), strict=True)
        if len(rows)
    )
    how = {"random": "drawn at random", "time": "in time", "group": "by whole groups"}[split.by]
    fold = "" if split.folds is None else ", fold {} of {}, counted from 0".format(*split.folds)
    return [f"split {how}{fold}: {counts}"]


def _facts(frame: Frame, split: Split, parts: Parts, features: int) -> dict[str, Any]:
    """Return what was read as plain values."""
    task = "regression" if frame.classes is None else "classification"
    facts: dict[str, Any] = {
        "rows": frame.rows, "training_rows": len(parts.train), "features": features, "task": task,
        "target": frame.target_name,
    }  # fmt: skip
    if split.by != "random":
        facts["split"] = split.by
    for name in ("validation", "test"):
        if len(rows := getattr(parts, name)):
            facts[f"{name}_rows"] = len(rows)
    if frame.classes is not None:
        counts = np.bincount(frame.target, minlength=len(frame.classes))
        labelled = zip(frame.classes, counts, strict=True)
        facts["classes"] = [{"label": label, "rows": int(count)} for label, count in labelled]
    return facts | dict(frame.facts)


def _check(frame: Frame) -> None:
    if frame.rows == 0:
        raise UserError("the data has no rows")
    if not frame.columns:
        raise UserError("the data has no features besides the target")
    if frame.classes is not None and len(frame.classes) < 2:
        label = frame.classes[0]
        is_number = isinstance(label, int) and not isinstance(label, bool)
        hint = "; for a target of numbers, set data.task=regression" if is_number else ""
        raise UserError(
            f"target '{frame.target_name}' has one class only ({label!r}): classification needs "
            f"at least two classes{hint}"
        )
    if frame.classes is None:
        bad = np.flatnonzero(~np.isfinite(frame.target).reshape(frame.rows, -1).all(axis=1))
        if len(bad):
            values = counted(len(bad), "missing or non-finite value")
            raise UserError(
                f"target '{frame.target_name}' has {values}, first in {first_rows(bad)}: remove "
                "those rows"
            )
