"""Files of typed columns equal their content; small files do not fill the memory."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from gdframe.data.features import describe, raw_values
from gdframe.data.reader import pick, read_file, size_of
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.typed import typed
from gdframe.errors import UserError

TYPES = [pa.string(), pa.large_string(), pa.string_view()]


def allocated(path, target):
    """Return a column of a file, and the bytes that PyArrow holds for the file."""
    before = pa.total_allocated_bytes()
    raw = read_file(path)
    (name,) = pick(raw, [target])
    return typed(name, raw.table.column(name), Layout()), pa.total_allocated_bytes() - before


def test_lists_of_a_parquet_file_are_not_decoded(tmp_path):
    path = tmp_path / "t.parquet"
    zeros = pa.array(np.zeros(1_000_000, np.int64))
    lists = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), zeros)
    pa.parquet.write_table(pa.table({"a": lists, "y": [1.0]}), path)
    column, size = allocated(path, "a")
    assert size < 1e6
    with pytest.raises(UserError, match="column 'a' is of type list<element: int64>: expected"):
        describe(column, 10)
    assert read_file(path).table.column_names == ["a", "y"]


@pytest.mark.parametrize("kind", TYPES)
def test_a_text_that_repeats_is_held_once(tmp_path, kind):
    path = tmp_path / "t.parquet"
    text = "x" * 100_000
    texts = pa.array([*[text, "b"] * 500, None], kind)
    pa.parquet.write_table(pa.table({"a": texts}), path)
    column, size = allocated(path, "a")
    assert size < 1e7
    described = describe(column, 10)
    assert described.categories == ("b", text)
    assert raw_values(described, column).tolist() == [*[1, 0] * 500, -1]


def test_the_size_of_a_file_counts_wide_values(tmp_path):
    path = tmp_path / "t.parquet"
    wide = pa.array([b"x" * 1000] * 2000, pa.binary(1000))
    pa.parquet.write_table(pa.table({"a": wide}), path)
    assert path.stat().st_size < 1e5
    assert size_of(path) >= 2e6


def test_lines_may_end_with_carriage_returns_alone(tmp_path, monkeypatch):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"x\r" + b"1\r" * 400_000))
    assert read_file(path).table.num_rows == 400_000
    monkeypatch.setattr("gdframe.data.reading.text_file.free_memory", lambda: 5e6)
    with pytest.raises(UserError, match="fewer rows or columns"):
        read_file(path)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_more_columns_than_are_read(tmp_path, name, monkeypatch):
    table = pa.table({f"x{i}": [1.0] for i in range(4)})
    writer = pa.parquet.write_table if name == "t.parquet" else pa.csv.write_csv
    writer(table, tmp_path / name)
    for module in ("delimited", "columnar"):
        monkeypatch.setattr(f"gdframe.data.reading.{module}.MOST_COLUMNS", 3)
    with pytest.raises(UserError, match="has 4 columns; at most 3 are read"):
        read_file(tmp_path / name)


def test_columns_of_one_name_are_refused_in_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    column = pa.array([1.0])
    pa.parquet.write_table(pa.table([column, column], names=["a", "a"]), path)
    with pytest.raises(UserError, match="several columns called a"):
        read_file(path)
    lists = pa.array([[1.0]])
    pa.parquet.write_table(pa.table([column, lists], names=["a.list", "a"]), path)
    with pytest.raises(UserError, match=r"lists or mappings, and a dot in a.list: rename it"):
        read_file(path)


def test_bytes_are_no_text(tmp_path):
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"a": [b"x" * 100_000] * 1000}), path)
    column, size = allocated(path, "a")
    assert size < 1e6
    with pytest.raises(UserError, match="column 'a' is of type binary: expected"):
        describe(column, 10)
    assert pa.total_allocated_bytes() < 1e7


@pytest.mark.parametrize("ending", ["csv", "json", "csv.gz"])
@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "a[!b]", "[", "a{1,2}", "a'b", "**", "[[]"])
def test_characters_of_patterns_in_a_name_stand_for_themselves(tmp_path, name, ending):
    others = ("a1", "ab", "ac", "b")
    for value, stem in enumerate((name, *others)):
        lines = ["x,y", *(f"{i + 0.5},{value}" for i in range(3))]
        if ending == "json":
            lines = [json.dumps({"x": i + 0.5, "y": value}) for i in range(3)]
        text = "\n".join(lines).encode()
        path = tmp_path / f"{stem}.{ending}"
        path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    raw = read_file(str(tmp_path / f"{name}.{ending}"), Layout())
    assert raw.columns["y"].to_pylist() == [0, 0, 0]
