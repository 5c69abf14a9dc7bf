"""Columns that number or name the rows are no features; columns that count something are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import gdframe as gd
from gdframe.cli.inspect import profile
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.data.row_names import row_identity

pytestmark = pytest.mark.usefixtures("shared_database")


def table(path, header, *columns):
    rows = zip(*columns, strict=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def read(path, **settings):
    frame = gd.Table(path=path, target="y", **settings).read()
    return [column.name for column in frame.columns], "\n".join(frame.notes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["", '""', "index", "rownames", "Row ID", "Unnamed: 0"])
def test_an_index_with_gaps_is_no_feature(tmp_path, seed, name):
    rng = np.random.default_rng(seed)
    index = rng.choice(1000, 40, replace=False)
    if seed % 2:
        index[-1] = index[0]  # of rows that were joined
    path = table(tmp_path / "t.csv", f"{name},x,y", index, rng.integers(0, 9, 40), range(40))
    names, told = read(path)
    assert names == ["x"]
    assert "is left out: it numbers the rows" in told


@pytest.mark.parametrize("seed", range(5))
def test_a_first_column_with_a_name_or_of_a_file_without_header_stays(tmp_path, seed):
    rng = np.random.default_rng(seed)
    values = rng.choice(1000, 40, replace=False)
    columns = (values, rng.integers(0, 9, 40), rng.normal(size=40))
    assert read(table(tmp_path / "t.csv", "c1,x,y", *columns))[0] == ["c1", "x"]
    frame = gd.Table(path=table(tmp_path / "n.csv", "7,3,1.5", *columns), target=-1).read()
    assert [column.name for column in frame.columns] == ["c1", "c2"]
    table(tmp_path / "g.csv", ",x,y", values // 100, *columns[1:])
    assert read(str(tmp_path / "g.csv"))[0] == ["c1", "x"]  # groups, not rows


def test_the_index_of_joined_tables_is_no_feature(tmp_path):
    index = [*range(30), *range(20), *range(30)]
    path = table(tmp_path / "t.csv", ",x,y", index, [i % 7 for i in range(80)], range(80))
    assert read(path)[0] == ["x"]
    table(tmp_path / "t.csv", ",x,y", [i % 2 for i in range(80)], [0, 3, 1, 2] * 20, range(80))
    assert read(path)[0] == ["c1", "x"]


def test_rows_without_a_target_count(tmp_path):
    """An index numbers all rows; those that remain have gaps."""
    targets = ["" if i % 3 else i * 0.5 for i in range(60)]
    columns = (range(60), [i % 9 for i in range(60)], targets)
    path = table(tmp_path / "t.csv", "0,8,1.5", *(column[1:] for column in columns))
    names = [column.name for column in gd.Table(path=path, target=-1).read().columns]
    assert names == ["c2"]
    line = next(line for line in profile(path).splitlines() if line.split()[1:2] == ["c1"])
    assert line.endswith("<- left out: it numbers the rows")


@pytest.mark.parametrize("rows", [3, 10, 19])
@pytest.mark.parametrize("name", ["rownames", "name", "Names", "", "car_id"])
def test_names_of_rows_are_no_features_of_small_tables(tmp_path, rows, name):
    who = [f"car {chr(97 + i)}" for i in range(rows)]
    x = [i % 2 for i in range(rows)]
    path = table(tmp_path / "t.csv", f"{name},x,y", who, x, [i + 0.5 for i in range(rows)])
    names, told = read(path)
    assert names == ["x"], told
    assert "it names the rows" in told
    who[1] = who[0]
    table(tmp_path / "t.csv", f"{name},x,y", who, x, [i + 0.5 for i in range(rows)])
    assert len(read(path)[0]) == 2


def whole(name, values):
    return TypedColumn(name, "number", pa.array(np.asarray(values, dtype=float)))


@pytest.mark.parametrize("name", [
    "Unique Key", "storenum", "item_number", "itemNo", "Policy No.", "FIPS", "ZIP Code", "zip",
    "StoreNum", "house-no", "county fips", "number",
])  # fmt: skip
def test_identifiers_by_name_and_values(name):
    rng = np.random.default_rng(0)
    different = rng.choice(10**6, 50, replace=False)
    assert row_identity(whole(name, different), 3, has_corner=False)
    assert not row_identity(whole(name, different + 0.5), 3, has_corner=False)
    assert not row_identity(whole(name, different % 30), 3, has_corner=False)
    assert not row_identity(whole(name, different[:15]), 3, has_corner=False)


@pytest.mark.parametrize("name", [
    "amount paid", "paid", "bid", "AmountPaid", "aluminum", "platinum", "monkey", "barcodes",
    "piano", "numbers sold", "zipline", "population", "uric acid", "keyed", "Madrid", "hybrid",
])  # fmt: skip
def test_amounts_are_no_identifiers(name):
    different = np.random.default_rng(1).choice(10**6, 50, replace=False)
    assert not row_identity(whole(name, different), 3, has_corner=False)


@pytest.mark.parametrize("name", ["id", "CustomerID", "store_id", "userid", "ride id", "ID", "#"])
def test_names_that_end_with_id(name):
    different = np.random.default_rng(2).choice(10**6, 15, replace=False)
    assert row_identity(whole(name, different), 3, has_corner=False) == "it numbers the rows"
