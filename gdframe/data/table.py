"""A table of the user: a CSV or Parquet file with a target column."""

from __future__ import annotations

from typing import Literal

from gdframe.data.frame import Frame
from gdframe.data.source import Source
from gdframe.errors import UserError
from gdframe.registry import DATASETS


@DATASETS.register("table")
class Table(Source):
    """A CSV or Parquet file with columns of numbers, true/false and text.

    Args:
        path: the file.
        target: the column to predict.
        features: the columns to predict from; by default all others.
        task: ``auto`` treats text, true/false and a few consecutive whole numbers (0, 1, 2, ...)
            as class labels, and other values as numbers for regression.
        missing: ``error``, or ``mean`` to impute the mean over training rows (for a text column
            the frequencies of its categories).
        max_categories: largest number of different texts in a feature.
        validation: share of the rows held out, in [0, 1).
        standardize: whether each feature gets mean 0 and deviation 1, fitted on training rows.
        seed: seed of the split.

    Raises:
        UserError: the file or a column cannot be used; the message tells which and why.
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
        """Return the raw columns of the file, each with its kind."""
        # these import PyArrow, which only tables need
        from gdframe.data.reader import describe_column, feature_values, pick, read_file
        from gdframe.data.target import read_target

        table = read_file(self.path)
        (target,) = pick(table, [self.target], self.path)
        names = self.features or [name for name in table.column_names if name != self.target]
        if self.target in names:
            raise UserError(f"data.features contains the target '{self.target}': leave it out")
        if len(set(names)) < len(names):
            raise UserError(
                f"data.features={', '.join(names)}: a column is named twice; name it once"
            )
        arrays = pick(table, names, self.path)
        columns = [
            describe_column(name, array, self.max_categories)
            for name, array in zip(names, arrays, strict=True)
        ]
        values = [feature_values(c, array) for c, array in zip(columns, arrays, strict=True)]
        y, classes = read_target(self.target, target, self.task)
        return Frame(columns, values, y, self.target, classes)
