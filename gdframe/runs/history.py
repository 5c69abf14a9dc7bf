"""The history of a run: one row for each epoch, and thinned rows for its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNTS = {"epoch", "step", "samples"}
"""Columns of whole numbers."""


class History:
    """Columns that grow while a run trains.

    Args:
        max_points: most steps to store, evenly spaced up to the limit; all epochs are stored.
        total_steps: steps up to the limit of the run.

    Example:
        >>> history = History(max_points=10, total_steps=100)
        >>> history.stride
        10
    """

    def __init__(self, *, max_points: int, total_steps: int) -> None:
        self.stride = max(1, -(-total_steps // max_points))
        self._epochs: dict[str, list[float]] = {}
        self._steps: dict[str, list[float]] = {"step": [], "loss": [], "gradient_norm": []}

    @property
    def epochs(self) -> dict[str, NDArray[np.float64]]:
        """Columns by epoch, (epochs + 1,) each; entry 0 is the start, before the first step.

        ``epoch``, ``step``, ``samples``, ``seconds``, ``lr``, ``objective``, ``train_loss``,
        ``gradient_norm``, ``gradient_norm/PARAMETER``, ``train/METRIC`` and, with validation rows,
        ``validation_loss`` and ``validation/METRIC``. What was not measured is NaN, such as the
        gradient norm of a parameter that is frozen by then.
        """
        return {name: np.array(values) for name, values in self._epochs.items()}

    @property
    def steps(self) -> dict[str, NDArray[np.float64]]:
        """Columns by step, from 1: ``step``, and ``loss`` and ``gradient_norm`` of its batch."""
        return {name: np.array(values) for name, values in self._steps.items()}

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """Return a column by epoch."""
        return np.array(self._epochs[name])

    @property
    def last(self) -> dict[str, float]:
        """The row of the last epoch."""
        return self.row(-1)

    @property
    def first(self) -> dict[str, float]:
        """The row before the first step."""
        return self.row(0)

    def row(self, index: int) -> dict[str, float]:
        """Return a row by epoch; 0 is the start, and -1 the last one."""
        return {name: values[index] for name, values in self._epochs.items()}

    def __len__(self) -> int:
        """Return the number of rows by epoch."""
        return len(self._epochs.get("epoch", ()))

    def add_epoch(self, row: Mapping[str, float]) -> None:
        """Add a row; a column that begins late, or that the row lacks, is NaN there."""
        rows = len(self)
        for name in {**self._epochs, **row}:
            column = self._epochs.setdefault(name, [math.nan] * rows)
            column.append(row.get(name, math.nan))

    def add_steps(
        self, first: int, loss: NDArray[Any], gradient_norm: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Add steps after thinning, and return the added rows (step, loss, gradient norm).

        Args:
            first: steps done before these.
            loss: (steps,) of their batches.
            gradient_norm: (steps,) of their batches.
        """
        offsets = slice(-first % self.stride, None, self.stride)
        steps = np.arange(first + 1, first + 1 + len(loss))[offsets]
        rows = np.column_stack([steps, loss[offsets], gradient_norm[offsets]]).astype(np.float64)
        for values, column in zip(self._steps.values(), rows.T.tolist(), strict=True):
            values.extend(column)
        return rows

    def rewind(self, step: int) -> None:
        """Remove all rows after ``step`` steps."""
        for columns in (self._epochs, self._steps):
            count = sum(at <= step for at in columns.get("step", ()))
            for values in columns.values():
                del values[count:]

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return all columns, named ``epochs/NAME`` and ``steps/NAME``."""
        named = {f"epochs/{name}": values for name, values in self.epochs.items()}
        return named | {f"steps/{name}": values for name, values in self.steps.items()}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.float64]]) -> None:
        """Restore the columns that ``to_arrays`` returned."""
        self._epochs = {}
        for name, values in arrays.items():
            kind, column = name.split("/", 1)
            (self._epochs if kind == "epochs" else self._steps)[column] = values.tolist()
        for name in COUNTS & self._epochs.keys():
            self._epochs[name] = list(map(int, self._epochs[name]))
