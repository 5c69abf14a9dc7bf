"""The user's own table: a CSV or Parquet file with a target column."""

from __future__ import annotations

from typing import Literal

from gdframe.data.frame import Frame
from gdframe.data.source import Source
from gdframe.errors import UserError
from gdframe.registry import DATASETS


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
        # PyArrow is imported when there is a table to read
        from gdframe.data.reader import describe_column, feature_values, pick, read_file
        from gdframe.data.target import read_target

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
        y, classes = read_target(self.target, target, self.task)
        return Frame(columns, values, y, self.target, classes)
