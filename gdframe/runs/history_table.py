"""``history.csv``: the history of a run as a table, a row for the start and for ends of epochs."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from gdframe.errors import UserError, counted, printable
from gdframe.runs.files import replacing
from gdframe.runs.folder import Folder
from gdframe.runs.spreadsheet import cell

HISTORY = "history.csv"

EPOCH_COLUMNS = ("epoch", "step", "samples", "seconds", "lr", "objective", "gradient_norm")
"""Columns that every history has."""

MOST_HEAD, MOST_NUMBER = 1 << 22, 32
"""Most bytes of the first line, and of a number with what separates it from the next."""

SLACK, MOST_BYTES = 1 << 22, 1 << 34
"""Bytes that any table may have, and most bytes of a table, which take some seconds to read."""

LAUNCHES = 4
"""Times the rows of a run that its table may have: an earlier launch may have had more epochs."""

log = logging.getLogger("gdframe")


def require_history(folder: Folder, epochs: int) -> None:
    """Refuse a table that gdframe did not write, before a run replaces it.

    Args:
        folder: of the run.
        epochs: the limit of the run.

    Raises:
        UserError: its first line is another one, or it is larger than gdframe could have written.
        DamagedError: it cannot be read.
    """
    try:
        with folder.open(HISTORY) as file:
            size, names = os.fstat(file.fileno()).st_size, _read_names(file)
    except FileNotFoundError:
        return
    if names is None:
        return
    if not set(EPOCH_COLUMNS) <= set(names):
        raise _foreign(folder)
    most = SLACK + LAUNCHES * (epochs + 1) * len(names) * MOST_NUMBER
    if size > min(most, MOST_BYTES):
        raise UserError(
            f"{folder.path / HISTORY}: has {size:,} bytes, more than {counted(epochs, 'epoch')} of "
            "this run can have; move it elsewhere, or leave out observer=csv"
        )


def _foreign(folder: Folder) -> UserError:
    return UserError(
        f"{folder.path / HISTORY}: its first line is not that of a history by gdframe, which would "
        "replace the file; move it elsewhere, or leave out observer=csv"
    )


def _read_names(file: BinaryIO) -> list[str] | None:
    """Return the names in the first line; none if it is damaged, and None if the file is empty."""
    line = file.readline(MOST_HEAD)
    return (_cells(line) or []) if line else None


def _cells(line: bytes) -> list[str] | None:
    """Return the cells of a line; None if it is damaged or has no end."""
    if not line.endswith(b"\n"):
        return None
    try:
        return next(csv.reader([line.decode()], strict=True))
    except (ValueError, csv.Error):
        return None


def _row(names: Sequence[str], line: bytes) -> dict[str, str] | None:
    """Return a row by column; None if it is damaged."""
    cells = _cells(line)
    if cells is None or len(cells) != len(names):
        return None
    try:
        values = [float(value or "nan") for value in cells]
    except ValueError:
        return None
    row = dict(zip(names, cells, strict=True))
    return row if values[list(row).index("step")] >= 0 else None


def _lines(file: BinaryIO, most: int) -> Iterator[bytes]:
    """Yield the lines of a file, those with more bytes than ``most`` cut."""
    while line := file.readline(most):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(1 << 20)


def read_rows(folder: Folder, needed: Sequence[str] = ("step",)) -> Iterator[dict[str, str]]:
    """Yield the whole rows of ``history.csv`` one at a time, and warn of those that are damaged.

    Args:
        folder: of the run.
        needed: columns that a table by gdframe has, with ``step`` among them.

    Raises:
        UserError: gdframe did not write the table, or it cannot be read.
    """
    damaged: list[int] = []
    try:
        with folder.open(HISTORY) as file:
            names = _read_names(file)
            if names is None:
                return
            if not set(needed) <= set(names) or len(set(names)) < len(names):
                raise _foreign(folder)
            for number, line in enumerate(_lines(file, MOST_NUMBER * (len(names) + 1)), start=2):
                if (row := _row(names, line)) is not None:
                    yield row
                else:
                    damaged.append(number)
    except FileNotFoundError:
        return
    if damaged:
        log.warning(
            "warning: %s: has %s, the first in line %s; the other rows are kept",
            folder.path / HISTORY, counted(len(damaged), "damaged row"), f"{damaged[0]:,}",
        )  # fmt: skip


class HistoryTable:
    """``history.csv``, open to add rows. Rows after a step are removed first.

    Args:
        folder: of the run.
        columns: names, with ``step`` among them.
        step: updates done; a resumed run may have fewer than the table.

    Attributes:
        columns: their names.

    Raises:
        UserError: gdframe did not write the earlier table.
        OSError: the file cannot be written; an earlier table remains.
    """

    def __init__(self, folder: Folder, columns: Sequence[str], step: int) -> None:
        self.columns = list(columns)
        self._step = -1.0
        names = [cell(printable(column)) for column in columns]
        needed = [name for name in columns if name in EPOCH_COLUMNS]
        path = folder.file(HISTORY)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            writer = csv.writer(text := io.TextIOWrapper(file, encoding="utf-8", newline=""))
            writer.writerow(names)
            for row in read_rows(folder, needed):  # one at a time: the file may be large
                if float(row["step"]) <= step:
                    writer.writerow([row.get(name, "") for name in names])
                    self._step = float(row["step"])
            text.flush()
            text.detach()
        self._file = io.TextIOWrapper(folder.append(HISTORY), encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row, unless the table has one of its step or of a later one."""
        if row["step"] > self._step:
            self._writer.writerow([row.get(column, "") for column in self.columns])
            self._file.flush()
            self._step = row["step"]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
