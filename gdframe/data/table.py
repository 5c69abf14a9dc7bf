"""The user's own table: a CSV or Parquet file with a target column."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gdframe.data.dataset import first_rows
from gdframe.data.frame import Frame
from gdframe.data.reader import (
    describe_column,
    feature_values,
    is_number,
    is_text,
    numbers,
    pick,
    read_file,
    refuse_stray_text,
)
from gdframe.data.source import Source
from gdframe.errors import UserError
from gdframe.registry import DATASETS

MOST_CLASSES = 10
"""Consecutive whole numbers up to this many distinct values read as class labels."""


@DATASETS.register("table")
class Table(Source):
    """Your own CSV or Parquet file: numbers, true/false and text columns.

    Args:
        path: the file.
        target: the column to predict.
        features: the columns to predict from; by default all others.
        task: ``auto`` reads text, true/false and a few consecutive whole numbers (0, 1, 2, ...)
            as class labels, anything else as numbers to regress on.
        missing: ``error``, or ``mean`` to impute the mean over training rows (for a text column
            the frequencies of its categories).
        max_categories: most different texts a feature may have.
        validation: share of the rows held out, in [0, 1).
        standardize: whether each feature gets mean 0 and deviation 1, fitted on training rows.
        seed: of the split.

    Raises:
        UserError: the file or one of its columns cannot be used; the message says which and why.
    """

    def __init__(
        self,
        *,
        path: str,
        target: str,
        features: list[str] | None = None,
        task: Literal["auto", "regression", "classification"] = "auto",
        missing: Literal["error", "mean"] = "error",
        max_categories: int = 100,
        validation: float = 0.2,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(validation=validation, standardize=standardize, seed=seed)
        self.path, self.target, self.features = path, target, features
        self.task, self.missing, self.max_categories = task, missing, max_categories

    def read(self) -> Frame:
        """Read the file and decide what each column is."""
        table = read_file(self.path)
        (target,) = pick(table, [self.target], self.path)
        names = self.features or [name for name in table.column_names if name != self.target]
        if self.target in names:
            raise UserError(f"data.features has the target '{self.target}': leave it out")
        if len(set(names)) < len(names):
            raise UserError(f"data.features names a column twice: {', '.join(names)}")
        arrays = pick(table, names, self.path)
        columns = [
            describe_column(name, array, self.max_categories)
            for name, array in zip(names, arrays, strict=True)
        ]
        values = [feature_values(c, array) for c, array in zip(columns, arrays, strict=True)]
        y, classes = self._read_target(target)
        return Frame(columns, values, y, self.target, classes)

    def _read_target(self, array: pa.Array) -> tuple[NDArray[Any], tuple[Any, ...] | None]:
        if array.null_count:
            bad = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
            raise UserError(
                f"target '{self.target}' has {len(bad)} missing values, first in "
                f"{first_rows(bad)}: remove those rows"
            )
        labels = is_text(array) or pa.types.is_boolean(array.type)
        if not labels and not is_number(array):
            raise UserError(
                f"target '{self.target}' is of type {array.type}: expected numbers, true/false "
                "or text"
            )
        if is_text(array):
            refuse_stray_text(self.target, array)
        if self.task == "regression":
            if is_text(array):
                raise UserError(
                    f"target '{self.target}' holds text: data.task=regression needs numbers"
                )
            return numbers(array), None
        found = array.to_numpy(zero_copy_only=False)
        countable = pa.types.is_integer(array.type) and _look_like_labels(found)
        if self.task == "auto" and not labels and not countable:
            return numbers(array), None
        if is_number(array):
            whole = found.astype(np.float64)
            if not (np.isfinite(whole).all() and (whole == np.round(whole)).all()):
                raise UserError(
                    f"target '{self.target}' has values that are no whole numbers: class labels "
                    "are whole numbers, true/false or text; use data.task=regression"
                )
            found = whole.astype(np.int64)
        classes, indices = np.unique(
            found.astype(str) if is_text(array) else found, return_inverse=True
        )
        if len(classes) > max(100, len(found) // 2):
            raise UserError(
                f"target '{self.target}' has {len(classes)} classes in {len(found)} rows: "
                "use data.task=regression, or another target"
            )
        return indices, tuple(classes.tolist())


def _look_like_labels(values: NDArray[Any]) -> bool:
    distinct = np.unique(values)
    consecutive = distinct[0] in (0, 1) and (np.diff(distinct) == 1).all()
    return bool(consecutive and len(distinct) <= MOST_CLASSES)
