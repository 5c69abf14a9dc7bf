"""Columns of text equal their definitions in plain Python; small files do not fill the memory."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdframe.data.frame import Column
from gdframe.data.reader import (
    MOSTLY_NUMBERS,
    describe_column,
    feature_values,
    pick,
    plain,
    read_file,
    refuse_stray_text,
    size_of,
)
from gdframe.data.target import read_target
from gdframe.errors import UserError

TYPES = [pa.string(), pa.large_string(), pa.string_view()]
TEXTS = st.sampled_from(
    ["1", "2.5", "nan", "1e3", " 4", "1_0", "", "a", "b", "é", "ä, b", "B", "x"]
)
COLUMNS = st.lists(st.none() | TEXTS, min_size=1, max_size=30)


def column_of(values, kind):
    return plain(pa.chunked_array([pa.array(values, kind)]))


def is_numeral(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(values=COLUMNS, kind=st.sampled_from(TYPES))
def test_text_among_numbers_is_refused_by_its_definition(values, kind):
    present = [value for value in values if value is not None]
    bad = [i for i, v in enumerate(values) if v is not None and not is_numeral(v)]
    if 0 < len(bad) < (1 - MOSTLY_NUMBERS) * len(present):
        rows = ", ".join(str(row + 1) for row in bad[:3])
        shown = ", ".join(repr(values[row]) for row in bad[:3])
        words = f"text in {len(bad)} of {len(present)} rows .*: {re.escape(shown)}, .* {rows} \\("
        with pytest.raises(UserError, match=words):
            refuse_stray_text("x", column_of(values, kind))
    else:
        refuse_stray_text("x", column_of(values, kind))


@given(values=COLUMNS, kind=st.sampled_from(TYPES), data=st.data())
def test_codes_of_categories_are_those_of_their_definition(values, kind, data):
    known = data.draw(st.lists(TEXTS, unique=True))
    column, array = Column("x", "category", tuple(known)), column_of(values, kind)
    bad = [i for i, value in enumerate(values) if value is not None and value not in known]
    if bad:
        words = re.escape(f"category {values[bad[0]]!r}, which the training data does not have")
        with pytest.raises(UserError, match=f"{words}, first in rows? {bad[0] + 1}\\b"):
            feature_values(column, array)
    else:
        expected = [-1 if value is None else known.index(value) for value in values]
        codes = feature_values(column, array)
        assert codes.tolist() == expected
        assert codes.dtype == np.int32


@given(values=COLUMNS, kind=st.sampled_from(TYPES))
def test_categories_are_the_sorted_texts(values, kind):
    array = column_of([*values, "a", "b", "x", "B"] + ["c"] * len(values), kind)
    expected = sorted({value for value in array.to_pylist() if value is not None})
    assert describe_column("x", array, 100).categories == tuple(expected)


@given(values=st.lists(TEXTS, min_size=1, max_size=30), kind=st.sampled_from(TYPES))
def test_classes_of_text_are_the_sorted_texts(values, kind):
    values = [*values, "a", "b", "x"] + ["c"] * len(values)
    indices, classes = read_target("y", column_of(values, kind), "auto")
    assert classes == tuple(sorted(set(values)))
    assert [classes[index] for index in indices] == values
    assert indices.dtype == np.int64


def allocated(path, target):
    """Return a column of a file, and the bytes that PyArrow holds for the file."""
    before = pa.total_allocated_bytes()
    table = read_file(path)
    (column,) = pick(table, [target], path)
    return column, pa.total_allocated_bytes() - before


def test_lists_of_a_parquet_file_are_not_decoded(tmp_path):
    path = tmp_path / "t.parquet"
    zeros = pa.array(np.zeros(1_000_000, np.int64))
    lists = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), zeros)
    pa.parquet.write_table(pa.table({"a": lists, "y": [1.0]}), path)
    column, size = allocated(path, "a")
    assert size < 1e6
    with pytest.raises(UserError, match="column 'a' is of type list<element: int64>: expected"):
        describe_column("a", column, 10)
    assert read_file(path).column_names == ["a", "y"]


@pytest.mark.parametrize("kind", TYPES)
def test_a_text_that_repeats_is_held_once(tmp_path, kind):
    path = tmp_path / "t.parquet"
    text = "x" * 100_000
    texts = pa.array([*[text, "b"] * 500, None], kind)
    pa.parquet.write_table(pa.table({"a": texts}), path)
    column, size = allocated(path, "a")
    assert size < 1e7
    described = describe_column("a", column, 10)
    assert described.categories == ("b", text)
    assert feature_values(described, column).tolist() == [*[1, 0] * 500, -1]


def test_the_size_of_a_file_counts_wide_values(tmp_path):
    path = tmp_path / "t.parquet"
    wide = pa.array([b"x" * 1000] * 2000, pa.binary(1000))
    pa.parquet.write_table(pa.table({"a": wide}), path)
    assert path.stat().st_size < 1e5
    assert size_of(path) >= 2e6


def test_lines_may_end_with_carriage_returns_alone(tmp_path, monkeypatch):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"x\r" + b"1\r" * 400_000))
    assert read_file(path).num_rows == 400_000
    monkeypatch.setattr("gdframe.data.csv_file.free_memory", lambda: 5e6)
    with pytest.raises(UserError, match="fewer rows or columns"):
        read_file(path)


def test_wide_rows_are_read_many_at_a_time(tmp_path):
    path = tmp_path / "t.csv"
    names = ",".join(f"column_{i}" for i in range(20_000))
    path.write_text("\n".join([names, *["1," * 19_999 + "1"] * 40]))
    assert read_file(path).column(0).num_chunks == 1


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_more_columns_than_are_read(tmp_path, name, monkeypatch):
    table = pa.table({f"x{i}": [1.0] for i in range(4)})
    writer = pa.parquet.write_table if name == "t.parquet" else pa.csv.write_csv
    writer(table, tmp_path / name)
    monkeypatch.setattr("gdframe.data.csv_file.MOST_COLUMNS", 3)
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
        describe_column("a", column, 10)
    assert pa.total_allocated_bytes() < 1e7
