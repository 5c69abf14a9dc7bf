"""``history.csv``: no formulas, and no more memory than it needs."""

from __future__ import annotations

import csv
import tracemalloc

import pytest

import gdframe as gd
from gdframe.cli.main import main
from gdframe.runs.folder import Folder
from gdframe.runs.history_table import HISTORY, HistoryTable


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


WORDS = ("lr=0.01", "variant=batch", "checkpoint.every=5", "stopping.tolerance=null",
         "logging.progress=false", "logging.tensorboard=false")  # fmt: skip


@pytest.fixture
def run(tmp_path):
    return gd.train(*WORDS, "epochs=20", "observer=csv", folder=tmp_path / "run").folder


def epochs_of(run):
    with (run / HISTORY).open(newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def contents(run):
    files = (path for path in run.rglob("*") if path.is_file() and path.suffix != ".log")
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda row: row[:4] + b"x" + row[5:], [7]), (lambda row: row[:4] + b'"' + row[5:], [7]),
        (lambda row: row[:4] + b"\xff" + row[5:], [7]), (lambda row: row[:-2], [7, 8]),
        (lambda row: b"9" * 100_000 + row, [7]), (lambda row: b",".join(row.split(b",")[1:]), [7]),
        (lambda row: bytes(1 << 21), [7, 8]), (lambda row: b"\r\n", [7]),
    ],
)  # fmt: skip
def test_damaged_rows_alone_are_left_out_and_told(run, damage, lost, capsys):
    rows = (run / HISTORY).read_bytes().splitlines(keepends=True)
    rows[8] = damage(rows[8])  # the first is that of the names
    (run / HISTORY).write_bytes(b"".join(rows))
    assert main(["resume", str(run), "epochs=25"]) == 0
    assert epochs_of(run) == [epoch for epoch in range(26) if epoch not in lost]
    warning = f"{run / HISTORY}: has 1 damaged row, the first in line 9; the other rows are kept"
    assert capsys.readouterr().out.count(warning) == 1


def test_a_last_row_that_is_cut_is_not_believed(run, capsys):
    content = (run / HISTORY).read_bytes()
    (run / HISTORY).write_bytes(content[:-4])  # its numbers can still be read
    assert main(["resume", str(run), "epochs=25"]) == 0
    assert "has 1 damaged row, the first in line 22" in capsys.readouterr().out
    assert epochs_of(run) == [*range(20), *range(20, 26)]


@pytest.mark.parametrize(
    "content", [b"date,value\n1,2\n", b"mine", b"epoch,step,loss\n0,0,1\n", bytes(1 << 20), b"\n"]
)
@pytest.mark.parametrize("is_csv", [False, True])
def test_a_table_of_others_is_not_replaced(tmp_path, content, is_csv, capsys):
    run = tmp_path / "run"
    gd.train(*WORDS, "epochs=5", *["observer=csv"] * is_csv, folder=run)
    (run / HISTORY).write_bytes(content)
    before = contents(run)
    capsys.readouterr()
    assert main(["resume", str(run), "epochs=8", *["observer=csv"] * (not is_csv)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "its first line is not that of a history by gdframe" in line
    assert contents(run) == before


def test_a_table_that_was_made_larger_is_refused_before_it_is_read(run, capsys):
    with (run / HISTORY).open("ab") as file:
        file.truncate(200 << 20)
    before = contents(run)
    tracemalloc.start()
    assert main(["resume", str(run), "epochs=30"]) == 2
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "has 209,715,200 bytes, more than 30 epochs of this run can have" in (
        capsys.readouterr().err
    )
    assert peak < 50 << 20
    assert contents(run) == before


def test_a_long_line_takes_no_memory(tmp_path):
    folder = Folder(tmp_path)
    with (tmp_path / HISTORY).open("wb") as file:
        file.write(b"step\n1\n")
        file.truncate(100 << 20)
    tracemalloc.start()
    HistoryTable(folder, ["step"], 5).close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / HISTORY).read_text().split() == ["step", "1"]
    assert peak < 10 << 20


def test_an_empty_table_is_written_from_the_checkpoint(run):
    (run / HISTORY).write_bytes(b"")
    assert main(["resume", str(run), "epochs=22"]) == 0
    assert epochs_of(run) == list(range(23))
