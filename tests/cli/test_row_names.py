"""Names of rows in predictions: text, numbers or times, and no formulas."""

from __future__ import annotations

import csv

import command
import pyarrow as pa
import pytest
from pyarrow import feather
from refusals import assert_refused


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A folder with a run on a table whose rows have names."""
    folder = tmp_path_factory.mktemp("named") / "cwd"
    folder.mkdir()
    lines = ["a,b,name,y", *(f"{i % 7},{i % 5},row {i},{2 * (i % 7) - i % 5}" for i in range(60))]
    (folder / "t.csv").write_text("\n".join(lines))
    words = ["data=table", "data.path=t.csv", "data.target=y", "data.id=name", "lr=0.05"]
    assert command.call([*words, "epochs=2", "hydra.run.dir=run"], folder, {}) == 0
    return folder


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["=cmd|x", "@b"], pa.large_string()),
        pa.array(["=cmd|x", "@b"], pa.string_view()),
        pa.array([b"=cmd|x", b"@b"]),
        pa.array(["=cmd|x", "@b"]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_names_of_rows_are_no_formulas(gdframe, named, array):
    table = pa.table({"a": [1.0, 2], "b": [0.0, 1], "name": array})
    feather.write_feather(table, named / "new.feather", compression="uncompressed")
    done = gdframe("predict", "run", "new.feather", "--output", "p.csv", cwd=named)
    assert done.code == 0, done.err
    _, *rows = csv.reader((named / "p.csv").read_text().splitlines())
    assert [row[0] for row in rows] == ["'=cmd|x", "'@b"]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], [2]]),
        pa.array([{"x": 1}, {"x": 2}]),
        pa.array([b"\xff", b"\xfe"]),
        pa.array([0, 1], pa.timestamp("s", tz="No/Where")),
    ],
    ids=lambda array: str(array.type)[:12],
)
def test_names_of_rows_of_another_kind_are_refused(gdframe, named, array):
    table = pa.table({"a": [1.0, 2], "b": [0.0, 1], "name": array})
    feather.write_feather(table, named / "new.feather", compression="uncompressed")
    for output in ([], ["--output", "p.csv"], ["--output", "p.parquet"]):
        done = gdframe("predict", "run", "new.feather", *output, cwd=named)
        assert_refused(done, "column 'name'")


def test_a_file_without_a_column_is_told_so(gdframe, named):
    (named / "less.csv").write_text("a,name\n1,x\n2,y\n")
    done = gdframe("predict", "run", "less.csv", cwd=named)
    assert_refused(done, "column 'b' of less.csv: there is no such column")
    assert "the model cannot be used" not in done.err
