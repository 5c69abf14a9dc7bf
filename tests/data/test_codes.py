"""Numerals with leading zeros are codes: categories, or numbers of which a line tells."""

from __future__ import annotations

import numpy as np
import pytest

import gdframe as gd

pytestmark = pytest.mark.usefixtures("shared_database")


def written(path, rows, header="a,x,y"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


@pytest.mark.parametrize("seed", range(5))
def test_codes_are_categories_and_classes(tmp_path, seed):
    rng = np.random.default_rng(seed)
    codes = [f"{i:0{seed + 2}d}" for i in rng.integers(1, 12, 100)]
    path = written(tmp_path / "t.csv", [[code, i % 7, i * i] for i, code in enumerate(codes)])
    frame = gd.Table(path=path, target="y").read()
    assert frame.columns[0].categories == tuple(sorted(set(codes)))
    first = next(code for code in codes if code[0] == "0")
    assert f"column 'a': '{first}' begins with 0: read as codes" in "\n".join(frame.notes)
    assert gd.Table(path=path, target="a").read().classes == tuple(sorted(set(codes)))
    frame = gd.Table(path=path, target="y", decimal=".").read()
    assert frame.values[0].tolist() == list(map(int, codes))
    numbers = gd.Table(path=path, target="a", task="regression").read()
    assert numbers.target.tolist() == list(map(int, codes))


@pytest.mark.parametrize("text", ["0", "10", "0.5", "-01", "1e05"])
def test_other_numerals_are_numbers(tmp_path, text):
    rows = [[text if i % 2 else i % 5 + 1, i % 7, i * i] for i in range(60)]
    frame = gd.Table(path=written(tmp_path / "t.csv", rows), target="y").read()
    assert frame.columns[0].kind == "number"
    assert not any("begins with 0" in note for note in frame.notes)


def test_many_codes_are_numbers_and_a_line_tells(tmp_path):
    rows = [[f"{i % 150:04d}", i % 7, i * i] for i in range(600)]
    path = written(tmp_path / "t.csv", rows)
    frame = gd.Table(path=path, target="y").read()
    assert frame.columns[0].kind == "number"
    told = """column 'a': '0000' read as the number 0; "data.categorical=[a]" for codes"""
    assert told in "\n".join(frame.notes)
    frame = gd.Table(path=path, target="y", categorical=["a"]).read()
    assert len(frame.columns[0].categories) == 150


def test_codes_of_times_weights_and_new_rows_stay_what_they_were(tmp_path):
    """A model of numbers reads new rows as numbers, also where these have leading zeros."""
    path = written(tmp_path / "t.csv", [[i % 9 + 1, f"{i:03d}", 2 * (i % 9)] for i in range(60)])
    words = ["data=table", f"data.path={path}", "data.target=y", "data.exclude=[x]"]
    gd.train(*words, "lr=0.5", "variant=batch", "epochs=300", folder=tmp_path / "run")
    new = written(tmp_path / "new.csv", [["07"], ["01"], ["003"]], "a")
    predicted = gd.predict(tmp_path / "run", new).column(0).to_numpy()
    np.testing.assert_allclose(predicted, [12, 0, 4], atol=1e-2)
    settings = {"target": "y", "split": "time", "time": "x"}
    assert gd.Table(path=path, **settings).read().split_keys.tolist() == list(range(60))
    frame = gd.Table(path=path, target="y", weights="x").read()
    assert len(frame.weights) == 59


def test_new_rows_of_codes(tmp_path):
    path = written(tmp_path / "t.csv", [[f"{i % 4 + 8:02d}", i % 7, i % 4 % 2] for i in range(80)])
    words = ["data=table", f"data.path={path}", "data.target=y"]
    gd.train(*words, "lr=1", "variant=batch", "epochs=300", folder=tmp_path / "run")
    new = written(tmp_path / "new.csv", [["11", 1], ["10", 2], ["09", 3], ["08", 1]], "a,x")
    assert gd.predict(tmp_path / "run", new).column(0).to_pylist() == [1, 0, 1, 0]
