"""``history.csv``: no formulas, and no more memory than it needs."""

from __future__ import annotations

import csv
import tracemalloc

import pytest

from gdframe.runs.folder import Folder
from gdframe.runs.history_table import HistoryTable


def test_columns_of_a_checkpoint_are_no_formulas_in_history(tmp_path):
    names = ["step", '=HYPERLINK("x")\x1b[2J', "@sum"]
    for step in (0, 1):  # a resumed run keeps the rows
        table = HistoryTable(Folder(tmp_path), names, step)
        table.add({"step": step, names[1]: 5.0 + step, names[2]: 1.0})
        table.close()
    header, *rows = csv.reader((tmp_path / "history.csv").read_text().splitlines())
    assert header == ["step", '\'=HYPERLINK("x")\\x1b[2J', "'@sum"]
    assert rows == [["0", "5.0", "1.0"], ["1", "6.0", "1.0"]]


@pytest.mark.slow
def test_a_long_history_is_read_a_row_at_a_time(tmp_path):
    (tmp_path / "history.csv").write_text("step\n" + "1\n" * 200_000)
    tracemalloc.start()
    HistoryTable(Folder(tmp_path), ["step"], 5).close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * (tmp_path / "history.csv").stat().st_size
