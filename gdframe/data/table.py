"""A table of the user: a file, a folder or a query with a target column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from gdframe.data.dataset import Dataset
from gdframe.data.frame import Frame
from gdframe.data.preparation import with_notes
from gdframe.data.source import Source
from gdframe.errors import UserError, counted, printable
from gdframe.registry import DATASETS

if TYPE_CHECKING:
    from gdframe.data.reading.layout import Layout


@DATASETS.register("table")
class Table(Source):
    """A table with columns of numbers, true/false, dates and text.

    Its columns are named, or numbered from 1, and from -1 at the end.

    Args:
        path: a file, a folder, or a pattern such as ``2024-*.csv``.
        query: a SELECT statement of DuckDB, instead of ``path``.
        target: the column to predict, or several columns of numbers.
        features: the columns to predict from; by default all others that can teach something.
        exclude: columns to leave out.
        categorical: columns of numbers that are codes of categories.
        id: column that names the rows: no feature, but carried through to predictions.
        weights: column of the weights of the rows, at least 0; it is no feature.
        text: what happens to text with too many categories: ``leave_out``, or ``hash`` to take its
            words as features.
        task: ``auto`` treats text, true/false, two different values and a few consecutive whole
            numbers (0, 1, 2, ...) as class labels, and other values as numbers for regression.
        missing: ``mean`` imputes the mean over training rows (for a text column the frequencies of
            its categories), ``drop`` leaves the rows out, ``error`` refuses them. Rows without a
            target are left out but for ``error``.
        max_categories: largest number of different texts in a feature.
        separator: character between values, ``tab``, or ``blank`` for runs of blanks.
        header: whether the first row holds names.
        names: names of the columns.
        decimal: ``.`` or ``,``.
        thousands: character between groups of three digits.
        encoding: such as ``latin-1``.
        null_values: texts or numbers that stand for a missing value, besides the usual ones.
        comment: what lines that are no data begin with.
        skip: number of lines before the table.
        sheet: name of the sheet of an Excel file; by default the first.
        validation: share of the rows held out, in [0, 1), or a file of them.
        test: share of the rows that are measured once, at the end, or a file of them.
        fold: which fold validates; see ``Source``.
        split: ``random`` draws rows, ``time`` holds out the latest, ``group`` holds out whole
            groups.
        group: column of the groups; it is no feature.
        time: column of dates or numbers that orders the rows.
        standardize: whether each feature gets mean 0 and deviation 1, fitted on training rows.
        standardize_target: whether a run from a config standardises a target of numbers where its
            training depends on the scale; all that is reported is in the units of the target.
        seed: seed of the split.

    Raises:
        UserError: the file or a column cannot be used; the message tells which and why.
    """

    not_read = (*Source.not_read, "standardize_target", "seed")

    def __init__(
        self,
        *,
        path: str | None = None,
        query: str | None = None,
        target: str | int | list[str | int],
        features: list[str | int] | None = None,
        exclude: Sequence[str | int] = (),
        categorical: Sequence[str | int] = (),
        id: str | int | None = None,  # noqa: A002
        weights: str | int | None = None,
        text: Literal["leave_out", "hash"] = "leave_out",
        task: Literal["auto", "regression", "classification"] = "auto",
        missing: Literal["error", "mean", "drop"] = "mean",
        max_categories: int = 100,
        separator: str | None = None,
        header: bool | None = None,
        names: list[str] | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        encoding: str | None = None,
        null_values: Sequence[str | int | float] = (),
        comment: str | None = None,
        skip: int | None = None,
        sheet: str | int | None = None,
        validation: float | str = 0.2,
        test: float | str = 0.0,
        fold: int | str | None = None,
        split: Literal["random", "time", "group"] = "random",
        group: str | int | None = None,
        time: str | int | None = None,
        standardize: bool = True,
        standardize_target: bool = True,
        seed: int = 0,
    ) -> None:
        parts = {"validation": validation, "test": test}
        self._files = {name: part for name, part in parts.items() if isinstance(part, str)}
        if fold is not None and "validation" in self._files:
            raise UserError("data.fold and a file in data.validation exclude each other; drop one")
        if target == []:
            raise UserError("data.target=[] names no column; name one, or several")
        shares = {name: 0.0 if isinstance(part, str) else part for name, part in parts.items()}
        super().__init__(**shares, fold=fold, standardize=standardize, seed=seed)
        self.standardize_target = standardize_target
        self.split = replace(self.split, by=split)
        _check_split(split, {"group": group, "time": time})
        self.group, self.time = group, time
        if (path is None) == (query is None):
            both = (
                "names both; set one of them" if path else "needs data.path=... or data.query=..."
            )
            raise UserError(f"data=table {both}")
        if query is not None and sheet is not None:
            raise UserError(
                f"data.sheet={sheet}: a query reads no Excel file; leave data.sheet out"
            )
        self.path, self.query, self.target, self.features = path, query, target, features
        self.exclude, self.categorical, self.id = tuple(exclude), tuple(categorical), id
        self.weights = weights
        self.text, self.task, self.missing = text, task, missing
        self.max_categories = max_categories
        self._layout = {
            "separator": separator, "header": header, "names": None if names is None else
            tuple(map(str, names)), "decimal": decimal, "thousands": thousands,
            "encoding": encoding, "null_values": tuple(_marker(v) for v in null_values),
            "comment": comment, "skip": skip, "sheet": None if sheet is None else str(sheet),
        }  # fmt: skip
        _ = self.layout  # raises if it cannot be used

    @property
    def layout(self) -> Layout:
        """The settings about the text of a file."""
        from gdframe.data.reading.layout import Layout

        return Layout(**self._layout)  # type: ignore[arg-type]

    def _with_other_rows(self, data: Dataset, dtype: torch.dtype, device: str) -> Dataset:
        """Return the data with the rows of other files, encoded like the training rows."""
        for name, path in self._files.items():
            from gdframe.data.new_rows import labelled_rows

            rows = labelled_rows(data.encoding, path, dtype).on(device)
            note = f"{counted(len(rows), 'row')} of {printable(path)}: {name} rows"
            facts = with_notes({**data.facts, f"{name}_rows": len(rows)}, [note])
            changes: dict[str, Any] = {name: rows, "facts": facts, "notes": [*data.notes, note]}
            data = replace(data, **changes)
        return data

    def read(self) -> Frame:
        """Return the raw columns of the table, each with its kind."""
        # these import PyArrow, which only tables need
        from gdframe.data.reader import read_file, read_query
        from gdframe.data.table_frame import TableSettings, frame_of

        named = [str(name) for name in self.categorical]
        if self.query is not None:
            raw = read_query(self.query)
        else:
            raw = read_file(str(self.path), self.layout, text=named)
        targets = self.target if isinstance(self.target, list) else [self.target]
        return frame_of(
            raw,
            TableSettings(
                targets, self.features, self.exclude, self.categorical, self.id, self.text,
                self.task, self.missing, self.max_categories, self.group, self.time, self.weights,
            ),
        )  # fmt: skip


def _check_split(split: str, columns: dict[str, str | int | None]) -> None:
    """Check that the column of a split is named, and no other."""
    for name, column in columns.items():
        if name == split and column is None:
            raise UserError(f"data.split={name} needs data.{name}=COLUMN, the {name} of each row")
        if name != split and column is not None:
            raise UserError(f"data.{name}={column} is for data.split={name}; set both or neither")


def _marker(value: str | float) -> str:
    """Return a null marker as text: a whole number without a fraction."""
    is_whole = not isinstance(value, str) and float(value).is_integer()
    return str(int(value)) if is_whole else str(value)
