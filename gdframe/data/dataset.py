"""Data sets for training: tensors of training and validation rows on a device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.array_frame import frame_of_arrays
from gdframe.data.encoding import Encoding
from gdframe.data.frame import Frame
from gdframe.data.preparation import Missing, prepared
from gdframe.data.rows import Rows
from gdframe.data.split import Split
from gdframe.errors import bad_value

BLOCK = 1 << 20
"""Numbers of a tensor that a checksum adds at a time."""

Task = Literal["regression", "classification", "minimization"]

RARE = 0.4
"""A class is rare if its share of the training rows is below this number divided by the number of
classes; with two classes, below a fifth."""


@dataclass(frozen=True)
class Dataset:
    """Training rows, validation and test rows (or None) and their preprocessing.

    ``facts`` tells what was read, as plain values for ``result.json``; ``notes`` tells it in lines.
    ``Dataset.from_arrays`` builds a data set from arrays in memory, ``Source.load`` from a source,
    and ``Dataset.none()`` for a function to minimise, which has no data.
    """

    train: Rows
    validation: Rows | None
    encoding: Encoding
    task: Task
    truth: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    test: Rows | None = None

    def on(self, device: str) -> Dataset:
        """Return these data on a device; each device gets one copy."""
        target, here = torch.device(device), self.train.features.device
        if target.type == here.type and target.index in (None, here.index):
            return self
        if device not in self._copies:
            validation, test = (rows and rows.on(device) for rows in (self.validation, self.test))
            copy = replace(self, train=self.train.on(device), validation=validation, test=test)
            self._copies[device] = copy
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[str, Dataset]:
        return {}

    @cached_property
    def results(self) -> dict[Hashable, Any]:
        """Results that follow from the data alone, by a key; they are kept as long as the data."""
        return {}

    @property
    def rows(self) -> int:
        """Number of training rows."""
        return len(self.train)

    @property
    def features(self) -> int:
        """Number of features that the model receives."""
        return self.train.features.shape[1]

    @property
    def tensors(self) -> list[Tensor]:
        """Features, targets and weights of all rows."""
        return [tensor for rows in self.parts for tensor in rows.tensors]

    @property
    def parts(self) -> list[Rows]:
        """Training rows, and validation and test rows, if there are any."""
        return [rows for rows in (self.train, self.validation, self.test) if rows is not None]

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """Labels of a classification target, in the order of their indices."""
        return self.encoding.classes

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each feature over the training rows, in float64."""
        parts = torch.split(self.train.features, 1024)
        mean = sum(part.double().sum(dim=0) for part in parts) / self.rows
        squares = sum((part.double() - mean).square().sum(dim=0) for part in parts)
        return torch.as_tensor(mean), (torch.as_tensor(squares) / self.rows).sqrt()

    @cached_property
    def class_counts(self) -> Tensor:
        """Number of training rows of each class, (classes,), or the sum of their weights."""
        classes = len(self.classes or ())
        return torch.bincount(self.train.targets, self.train.weights, minlength=classes)

    @cached_property
    def has_rare_class(self) -> bool:
        """Tell whether a class has few training rows; False without classes."""
        if self.task != "classification":
            return False
        counts = self.class_counts
        return bool(counts.min() * len(counts) < RARE * counts.sum())

    @cached_property
    def digest(self) -> str:
        """Digest of the targets, the weights, and a sample of the features of all training rows.

        It distinguishes data sets, at a cost that does not grow with the features.
        """
        return self.train.digest()

    @cached_property
    def digests_of_held_out(self) -> tuple[str | None, str | None]:
        """The same of the validation and of the test rows; None without any."""
        parts = (self.validation, self.test)
        validation, test = (None if rows is None else rows.digest() for rows in parts)
        return validation, test

    def checksum(self) -> tuple[Any, ...]:
        """Return a key that changes with the values of any row.

        It is computed anew each time, at the cost of reading all values once.
        """
        kinds = {1: torch.uint8, 4: torch.int32, 8: torch.int64}
        bits = [t.detach().contiguous().view(kinds[t.element_size()]) for t in self.tensors]
        digests = [rows.digest() for rows in self.parts]
        # PyTorch sums whole numbers in a copy of 64 bits
        blocks = (torch.split(bit.reshape(-1), BLOCK) for bit in bits)
        return (*digests, *(sum(int(part.sum()) for part in parts) for parts in blocks))

    @cached_property
    def first_checksum(self) -> tuple[Any, ...]:
        """The checksum when it was first asked for: before users' components saw the rows."""
        return self.checksum()

    @classmethod
    def none(cls, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Dataset:
        """Return a data set of one row without features, for functions to minimise."""
        empty = torch.zeros((1, 0), dtype=dtype, device=device)
        encoding = Encoding([], np.zeros(0), np.ones(0))
        return cls(Rows(empty, empty), None, encoding, "minimization")

    @classmethod
    def of_frame(
        cls,
        frame: Frame,
        *,
        split: Split,
        standardize: bool,
        missing: Missing = "error",
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> Dataset:
        """Return the data set of a frame: split, with preprocessing fitted on training rows.

        Raises:
            UserError: there are no rows, only one class, values that are not finite, or too few
                rows.
        """
        made = prepared(frame, split, standardize=standardize, missing=missing, dtype=dtype)
        parts = {name: rows.on(device) for name, rows in made.parts.items()}
        return cls(
            **{"validation": None, **parts},  # type: ignore[arg-type]
            encoding=made.encoding,
            task="regression" if frame.classes is None else "classification",
            truth=frame.truth,
            facts=made.facts,
            notes=made.notes,
        )

    @classmethod
    def from_arrays(
        cls,
        features: Any,
        targets: Any,
        *,
        validation: float | Split = 0.0,
        standardize: bool = False,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        task: Literal["auto", "regression", "classification"] = "auto",
        weights: Any = None,
    ) -> Dataset:
        """Return a data set of arrays or tensors.

        Args:
            features: (rows, features) finite numbers; a table's columns keep their names.
            targets: (rows,) or (rows, outputs) floats for regression; (rows,) or (rows, 1)
                integers, booleans or text for classification.
            validation: share of rows held out, in [0, 1), or a ``Split`` with test rows, folds or
                groups, whose ``keys`` are an array (rows,).
            standardize: whether features get mean 0 and deviation 1, fitted on training rows.
            seed: seed of the split; a ``Split`` has its own.
            dtype: type of the tensors.
            device: device of the tensors.
            task: ``auto`` goes by the type of the targets.
            weights: (rows,) of the rows, at least 0; rows of weight 0 are left out. By default all
                rows weigh the same.

        Raises:
            UserError: shapes do not match, values are not finite, or there is only one class.

        Example:
            >>> data = Dataset.from_arrays([[1.0], [2.0], [3.0]], [2.0, 4.0, 6.0])
            >>> data.task, data.rows, data.train.targets.shape
            ('regression', 3, torch.Size([3, 1]))
        """
        if dtype not in (torch.float32, torch.float64):
            raise bad_value(f"dtype={dtype}", "torch.float32 or torch.float64")
        split = _as_split(validation, seed)
        keys = [] if split.keys is None else split.keys
        frame = frame_of_arrays(
            features, targets, task, weights=weights, keys=None if split.by == "random" else keys
        )
        return cls.of_frame(
            frame,
            split=split,
            standardize=standardize,
            dtype=dtype,
            device=device,
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        target: str | int | list[str | int],
        *,
        validation: float | Split = 0.0,
        standardize: bool = True,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        task: Literal["auto", "regression", "classification"] = "auto",
        missing: Missing = "mean",
        weights: str | int | None = None,
    ) -> Dataset:
        """Return a data set of a table in memory, by the same rules as for a file.

        Args:
            frame: of pandas, polars or Arrow, or a mapping from names to columns.
            target: name or number of the column to predict, or of several.
            validation: share of rows held out, in [0, 1), or a ``Split`` with test rows, folds or
                groups, whose ``keys`` are a column.
            standardize: whether features get mean 0 and deviation 1, fitted on training rows.
            seed: seed of the split; a ``Split`` has its own.
            dtype: type of the tensors.
            task: see ``Table``.
            missing: see ``Table``.
            weights: name or number of the column of weights.

        Raises:
            UserError: the frame is no table, or a column cannot be used.

        Example:
            >>> columns = {"size": [50, 80, 120], "kind": ["flat", "flat", "house"], "y": [1, 2, 4]}
            >>> data = Dataset.from_frame(columns, "y")
            >>> data.task, data.encoding.feature_names
            ('regression', ['size', 'kind=flat', 'kind=house'])
        """
        from gdframe.data.reader import from_memory  # which imports PyArrow
        from gdframe.data.table_frame import TableSettings, frame_of

        if weights is not None and not isinstance(weights, (str, int)):
            raise bad_value(f"weights are a {type(weights).__name__}", "the name of a column")
        targets = target if isinstance(target, list) else [target]
        split = _as_split(validation, seed)
        key = {} if split.by == "random" else {split.by: split.keys}
        choice = TableSettings(targets, task=task, missing=missing, weights=weights, **key)
        return cls.of_frame(
            frame_of(from_memory(frame), choice),
            split=split,
            standardize=standardize,
            missing=missing,
            dtype=dtype,
        )


def _as_split(validation: float | Split, seed: int) -> Split:
    """Return a split at random, unless one is given."""
    return validation if isinstance(validation, Split) else Split(validation, seed=seed)
