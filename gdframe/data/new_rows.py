"""The rows of another file than the training data's: features, names, and targets if it has any."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from gdframe.data.encoding import BLOCK, Encoding
from gdframe.data.features import raw_values
from gdframe.data.frame import first_rows, take
from gdframe.data.label_text import finder_of
from gdframe.data.reader import RawTable, pick, read_file
from gdframe.data.reading.arrays import is_number, kind_of, numbers, plain
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.typed import typed
from gdframe.data.rows import Rows
from gdframe.data.table_frame import weights_in
from gdframe.data.weights import checked_weights, override_of
from gdframe.errors import UserError, counted, in_words, printable

log = logging.getLogger("gdframe")


class FarValuesError(UserError):
    """Values are finite, but not once they are standardised."""


@dataclass(frozen=True)
class NewRows:
    """The rows to predict.

    Args:
        raw: the table.
        encoding: of the training data.
        strict: whether to refuse missing values, and categories that the training data lack.
    """

    raw: RawTable
    encoding: Encoding
    strict: bool

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.raw.rows

    def names(self) -> pa.Array | None:
        """Return the column that names the rows, if there is one: text, numbers or times.

        Raises:
            UserError: it holds something else.
        """
        name = self.encoding.reading.get("id")
        if name is None or name not in self.raw.columns:
            return None
        column = plain(self.raw.columns[name])
        try:
            if isinstance(column.type, pa.BaseExtensionType):  # it stands for nested values
                raise pa.ArrowInvalid
            text = column.cast(pa.string())
        except pa.ArrowException as error:
            raise UserError(
                f"{printable(self.raw.name)}: column '{printable(name)}' names the rows and holds "
                f"{printable(kind_of(column))}: expected text, numbers or times"
            ) from error
        is_own = is_number(column) or pa.types.is_temporal(column.type)
        return column if is_own else text

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the weights of some rows; None where the file has none.

        Raises:
            UserError: the column holds something else, or none of them is above 0.
        """
        name = self.encoding.reading.get("weights")
        if name not in self.raw.columns:
            return None
        return checked_weights(weights_in(self.raw, name)[rows], override_of(name), rows)

    def features(self, dtype: np.dtype[Any], rows: int) -> Iterator[NDArray[Any]]:
        """Yield features, (rows, features), some rows at a time.

        Raises:
            UserError: the columns do not fit the model, or a value is missing or not finite.
            FarValuesError: values are finite and cannot be standardised.
        """
        encoding = self.encoding
        pick(self.raw, [column.name for column in encoding.columns])
        imputes = encoding.fill is not None and not self.strict
        values = [
            raw_values(
                column, self.raw.columns[column.name], self.raw.layout, unknown_is_missing=imputes
            )
            for column in encoding.columns
        ]
        if imputes:
            self._tell_missing(values)
        checked = replace(encoding, fill=None) if self.strict else encoding
        ends = np.cumsum([column.width for column in encoding.columns])
        first, invalid, are_far = len(ends), list[int](), True
        for start in range(0, self.count, rows):
            block = np.arange(start, min(start + rows, self.count))
            with np.errstate(over="ignore"):  # it is told below
                features = checked.transform(values, block, dtype)
            is_finite = np.isfinite(features)
            if not is_finite.all():
                column = int(np.searchsorted(ends, np.argmin(is_finite.all(axis=0)), side="right"))
                if column < first:
                    first, invalid, are_far = column, [], True
            if first < len(ends):
                places = slice(ends[first] - encoding.columns[first].width, ends[first])
                rows_of_block = block[~is_finite[:, places].all(axis=1)]
                raw = take(encoding.columns[first : first + 1], values[first : first + 1],
                           rows_of_block)  # fmt: skip
                if checked.fill is not None:
                    raw = np.where(np.isnan(raw), checked.fill[places], raw)
                are_far = are_far and bool(np.isfinite(raw).all())
                invalid += rows_of_block.tolist()
            else:
                yield features
        if invalid and are_far:
            raise FarValuesError(
                f"column '{encoding.columns[first].name}': has {counted(len(invalid), 'value')} "
                f"too far from the mean of the training data for {dtype.name}, first in "
                f"{first_rows(np.array(invalid))}"
            )
        if invalid:
            hint = "; train with data.missing=mean to impute" if encoding.fill is None else ""
            raise UserError(
                f"column '{encoding.columns[first].name}': has "
                f"{counted(len(invalid), 'missing or non-finite value')}, first in "
                f"{first_rows(np.array(invalid))}{hint}"
            )

    def _tell_missing(self, values: list[NDArray[Any]]) -> None:
        """Log how many values are replaced by what the training data have on average."""
        counts = {}
        for column, raw in zip(self.encoding.columns, values, strict=True):
            if column.kind == "words":
                continue
            absent = raw < 0 if column.kind == "category" else np.isnan(raw)
            if absent.any():
                counts[column.name] = int(absent.sum())
        if counts:
            shown = [f"'{name}' {count:,}" for name, count in list(counts.items())[:8]]
            log.warning(
                "warning: missing values take the training mean: %s%s; --strict refuses them",
                in_words(shown), ", ..." if len(counts) > 8 else "",
            )  # fmt: skip

    def targets(self) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        """Return the rows with a target and their targets, if the file has its column.

        Targets are numbers (rows, outputs), or class indices (rows,).
        """
        named = self.encoding.reading.get("targets", [self.encoding.target_name])
        if not set(named) <= set(self.raw.columns):
            return None
        classes = self.encoding.classes
        if classes is not None:
            indices = self._class_indices(named[0])
            rows = np.flatnonzero(indices >= 0)
            return (rows, indices[rows]) if len(rows) else None
        columns = [typed(name, self.raw.columns[name], self.raw.layout) for name in named]
        if not all(column.content in ("number", "boolean") for column in columns):
            return None
        values = np.column_stack([numbers(column.values) for column in columns]).astype(np.float64)
        rows = np.flatnonzero(np.isfinite(values).all(axis=1))
        return (rows, values[rows]) if len(rows) else None

    def _class_indices(self, name: str) -> NDArray[np.int64]:
        """Return the class index of each row, -1 for a label that the training data lack."""
        classes = self.encoding.classes or ()
        column = typed(name, self.raw.columns[name], self.raw.layout, text=True)
        if column.content != "text":
            return np.full(self.count, -1)
        find, texts = finder_of(classes), column.values.dictionary.to_pylist()
        by_text = [-1 if (place := find(text)) is None else place for text in texts]
        indices = column.values.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
        of_rows: NDArray[np.int64] = np.array([*by_text, -1], dtype=np.int64)[indices]
        return of_rows


def read_rows(encoding: Encoding, path: str | Path, *, strict: bool = False) -> NewRows:
    """Read the rows of a new file in the same way as those of the training data.

    Args:
        encoding: of the training data.
        path: of the file.
        strict: whether to refuse missing values and unknown categories.

    Raises:
        UserError: the file cannot be read, or lacks a column.
    """
    reading = encoding.reading
    needed = [column.name for column in encoding.columns]
    text = [c.name for c in encoding.columns if c.pattern or c.kind in ("category", "words")]
    if encoding.classes is not None and encoding.target_name:
        text.append(encoding.target_name)
    if reading.get("id"):
        text.append(reading["id"])
    given, stored = (_layout(reading.get(key, {})) for key in ("given", "layout"))
    columns, targets = list(reading.get("columns", [])), set(reading.get("targets", []))
    known = [columns, [name for name in columns if name not in targets]]
    same = replace(given, separator=stored.separator, names=None)
    if stored.header is False and columns:
        same = replace(same, header=False)
    failure: UserError | None = None
    for layout in dict.fromkeys((same, replace(given, names=None))):
        try:
            raw = read_file(path, layout, text=text, known=known)
            pick(raw, needed)
        except UserError as error:
            failure = failure or error
        else:
            return NewRows(raw, encoding, strict)
    assert failure is not None
    raise failure


def labelled_rows(encoding: Encoding, path: str | Path, dtype: torch.dtype) -> Rows:
    """Return the rows of a file that have a target, as tensors.

    Args:
        encoding: of the training data.
        path: of the file.
        dtype: of features, and of targets that are numbers.

    Raises:
        UserError: the file cannot be read, lacks a column, or has no row with a target.
    """
    rows = read_rows(encoding, path)
    targets = rows.targets()
    if targets is None:
        raise UserError(
            f"{printable(str(path))}: no row has a target '{encoding.target_name}' like those of "
            "the training data"
        )
    labelled, values = targets
    if len(labelled) < rows.count:
        missing = counted(rows.count - len(labelled), "row")
        log.warning(
            "warning: %s: %s without a known target left out", printable(str(path)), missing
        )
    numpy_type = np.dtype(str(dtype).split(".")[1])
    features = np.concatenate([*rows.features(numpy_type, BLOCK)])[labelled]
    if encoding.classes is None:
        target = torch.from_numpy(encoding.standard_targets(values)).to(dtype)
    else:
        target = torch.from_numpy(values).long()
    if (name := encoding.reading.get("weights")) is not None:
        pick(rows.raw, [name])
    if (weights := rows.weights(labelled)) is None:
        return Rows(torch.from_numpy(features), target)
    sizes = torch.from_numpy(weights)
    return Rows(torch.from_numpy(features), target, weights=sizes).take(sizes > 0)


def _layout(stored: Mapping[str, Any]) -> Layout:
    """Return a layout that is stored with a model.

    Raises:
        UserError: it has a setting that this version does not know.
    """
    unheard = stored.keys() - {field.name for field in fields(Layout)}
    if unheard:
        raise UserError(
            f"the model was trained on a table read with {in_words(sorted(unheard))}, which this "
            "version of gdframe does not know; predict with the version that trained it"
        )
    return Layout.from_json(stored)
