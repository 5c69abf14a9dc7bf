"""Arrays and tensors in memory as a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.frame import Column, Frame
from gdframe.data.weights import checked_weights, weights_note
from gdframe.errors import UserError, bad_value, first_line

OF_TABLES = "Dataset.from_frame takes tables with text and missing values"


def frame_of_arrays(
    features: Any, targets: Any, task: str, *, weights: Any = None, keys: Any = None
) -> Frame:
    """Return the frame of arrays or tensors, without rows of weight 0; see ``Dataset.from_arrays``.

    Raises:
        UserError: shapes do not match, or values are of types that cannot be used.
    """
    x, y = (_as_array(n, v) for n, v in (("features", features), ("targets", targets)))
    if x.ndim != 2 or y.ndim not in (1, 2) or len(x) != len(y):
        raise UserError(
            f"features have shape {x.shape} and targets {y.shape}: expected (rows, features) "
            "and (rows,) or (rows, outputs) with the same number of rows"
        )
    if not np.issubdtype(x.dtype, np.number) and x.dtype != np.bool_:
        raise bad_value(f"features are of type {x.dtype}", "numbers", OF_TABLES)
    places = None if keys is None else split_keys(keys, len(x))
    sizes, notes = None, list[str]()
    if weights is not None:
        raw = _weights(weights, len(x))
        sizes, notes = checked_weights(raw, "weights"), [weights_note(raw, "weights")]
        keep = sizes > 0
        x, y, sizes = x[keep], y[keep], sizes[keep]
        places = None if places is None else places[keep]
    classes = None
    is_number = np.issubdtype(y.dtype, np.number) or y.dtype == np.bool_
    if task == "regression":
        if not is_number:
            raise bad_value(f"targets are of type {y.dtype}", "numbers for task='regression'")
        y = y.astype(np.float64)
    elif task == "classification" or not np.issubdtype(y.dtype, np.floating):
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise bad_value(f"class labels have shape {y.shape}", "(rows,)")
        labels, y = _unique(y)
        classes = tuple(labels.tolist())
    columns = [Column(name) for name in _names(features, x.shape[1])]
    return Frame(
        columns, x, y, classes=classes, split_keys=places, weights=sizes, notes=notes
    )  # fmt: skip


def _names(features: Any, count: int) -> list[str]:
    """Return the names of a table's columns, or x0, x1, ... where an array has none."""
    names = list(getattr(features, "column_names", getattr(features, "columns", ())))
    is_named = len(set(map(str, names))) == count and all(isinstance(n, str) for n in names)
    return names if is_named else [f"x{i}" for i in range(count)]


def split_keys(keys: Any, rows: int) -> NDArray[Any]:
    """Return the time or group of each row, (rows,), as its place among all different ones.

    Raises:
        UserError: there is not one for each row, or one is missing.
    """
    array = _as_array("keys", keys)
    if array.shape != (rows,):
        raise bad_value(f"keys have shape {array.shape}", f"one for each row, ({rows},)")
    return _unique(array, "keys")[1]


def _weights(weights: Any, rows: int) -> NDArray[Any]:
    """Return numbers for all rows, (rows,)."""
    array = _as_array("weights", weights)
    is_number = array.dtype == np.bool_ or any(
        np.issubdtype(array.dtype, kind) for kind in (np.floating, np.integer)
    )
    if array.shape != (rows,) or not is_number or np.issubdtype(array.dtype, np.timedelta64):
        raise bad_value(
            f"weights have shape {array.shape} and type {array.dtype}",
            f"a number for each row, ({rows},)",
        )
    return array


def _unique(labels: NDArray[Any], name: str = "targets") -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the different labels in order, and the index of each.

    Raises:
        UserError: a label is missing, or labels of different types cannot be ordered.
    """
    try:
        distinct, indices = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise UserError(
            f"{name} hold values of different types ({first_line(error)}): give values of one type"
        ) from error
    if np.issubdtype(distinct.dtype, np.floating) and np.isnan(distinct).any():
        raise UserError(f"{name} have missing values: remove those rows")
    return distinct, indices


def _as_array(name: str, values: Any) -> NDArray[Any]:
    """Return values as an array; bfloat16 becomes float32, and objects that are numbers floats."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.dtype == torch.bfloat16:
            values = values.float()
    try:
        array = np.asarray(values)
        if array.dtype == object and name == "features":
            array = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(values).__name__
        advice = ""
        if name == "features" and not isinstance(error, RuntimeError):
            advice = f"; {OF_TABLES}"
        raise UserError(f"{name} were given as {kind}: {first_line(error)}{advice}") from error
    return array
