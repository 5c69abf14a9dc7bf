"""``history.csv``: the history of a run as a table, a row for the start and for ends of epochs."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence

from gdframe.errors import printable
from gdframe.runs.folder import MOST_OF_ALL, Folder, optional
from gdframe.runs.spreadsheet import cell

HISTORY = "history.csv"

log = logging.getLogger("gdframe")


def read_rows(folder: Folder) -> Iterator[dict[str, str]]:
    """Yield the rows of ``history.csv`` up to the first that is damaged, and warn of it.

    Args:
        folder: of the run.
    """
    text: str = optional(lambda: folder.read_text(HISTORY, most=MOST_OF_ALL), "")
    count = 0
    try:
        for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
            for value in row.values():
                float(value or "nan")
            if not float(row["step"]) >= 0:
                raise ValueError
            count += 1
            yield row
    except (ValueError, KeyError, TypeError, csv.Error):
        log.warning("warning: %s: is damaged after %d rows", folder.path / HISTORY, count)


class HistoryTable:
    """``history.csv``, open to add rows. Rows after a step are removed first.

    Args:
        folder: of the run.
        columns: names, with ``step`` among them.
        step: updates done; a resumed run may have fewer than the table.

    Attributes:
        columns: their names.

    Raises:
        OSError: the file cannot be written; an earlier table remains.
    """

    def __init__(self, folder: Folder, columns: Sequence[str], step: int) -> None:
        self.columns = list(columns)
        self._step = -1.0
        names = [cell(printable(column)) for column in columns]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(names)
        for row in read_rows(folder):  # one at a time: the file may be large
            if float(row["step"]) <= step:
                writer.writerow([row.get(name, "") for name in names])
                self._step = float(row["step"])
        folder.write(HISTORY, text.getvalue())
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
