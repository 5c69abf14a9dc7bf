"""The observer that writes the history of a run as a CSV table during training."""

from __future__ import annotations

from pathlib import Path

from gdframe.errors import bad_value
from gdframe.observers.base import Observer, Watched
from gdframe.registry import OBSERVERS
from gdframe.runs.history_table import HistoryTable
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder


@OBSERVERS.register("csv")
class CSVHistory(Observer):
    """Writes ``history.csv`` during training: a row for the start and for the end of each epoch.

    Its columns are those of ``History.epochs``. After a resume, rows beyond the checkpoint are
    replaced, and rows that the table lacks at its end are added.

    Args:
        folder: the run folder.
        every: interval between rows in epochs, at least 1; the last epoch always has a row.

    Raises:
        UserError: ``every`` is below 1.
    """

    def __init__(self, folder: Path, *, every: int = 1) -> None:
        if every < 1:
            raise bad_value(f"every={every}", "a whole number of at least 1")
        self.folder, self.every = RunFolder(folder), every
        self._table: HistoryTable | None = None

    def on_start(self, run: Watched) -> None:
        """Open the table; after a resume, keep rows up to the checkpoint, and add later ones."""
        history = run.history
        self._table = HistoryTable(self.folder, list(history.last), run.step)
        for index in range(len(history)):
            row = history.row(index)
            if int(row["epoch"]) % self.every == 0 or index == len(history) - 1:
                self._table.add(row)

    def on_epoch(self, run: Watched) -> None:
        """Add a row if the interval is over."""
        row = run.history.last
        if self._table is not None and int(row["epoch"]) % self.every == 0:
            if self._table.columns != list(row):  # a column begins late
                self.close()
                self.on_start(run)
            else:
                self._table.add(row)

    def on_end(self, run: Watched, result: Result) -> None:
        """Add the last row."""
        if self._table is not None:
            self._table.add(run.history.last)

    def close(self) -> None:
        """Close the table."""
        if self._table is not None:
            self._table.close()
            self._table = None
