"""The observer that writes the history of a run as a CSV table during training."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from gdframe.errors import bad_value
from gdframe.observers.base import Observer, Watched
from gdframe.registry import OBSERVERS
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder


@OBSERVERS.register("csv")
class CSVHistory(Observer):
    """Writes ``history.csv`` during training: a row for the start and for the end of each epoch.

    Its columns are those of ``History.epochs``. After a resume, rows beyond the checkpoint are
    replaced.

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
        self._file: Any = None
        self._written = -1.0

    def on_start(self, run: Watched) -> None:
        """Open the table; after a resume, keep the rows up to the checkpoint."""
        row = run.history.last
        earlier_lines = self.folder.read_history_table()
        lines = [line for line in earlier_lines if float(line["step"]) <= run.step]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(row), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
        self.folder.write_history_table(text.getvalue())
        self._file = self.folder.append_history_table()
        self._writer = csv.DictWriter(self._file, list(row), restval="", extrasaction="ignore")
        self._written = float(lines[-1]["step"]) if lines else -1.0
        self._write(row)

    def on_epoch(self, run: Watched) -> None:
        """Add a row if the interval is over."""
        row = run.history.last
        if int(row["epoch"]) % self.every == 0:
            self._write(row)

    def on_end(self, run: Watched, result: Result) -> None:
        """Add the last row."""
        self._write(run.history.last)

    def _write(self, row: dict[str, float]) -> None:
        if row["step"] > self._written:
            self._writer.writerow(row)
            self._file.flush()
            self._written = row["step"]

    def close(self) -> None:
        """Close the table."""
        if self._file is not None:
            self._file.close()
            self._file = None
