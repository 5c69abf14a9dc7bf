"""A few odd cells are named, and each hint can be pasted into a shell."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

import gdframe as gd
from gdframe.config.override_syntax import parse

pytestmark = pytest.mark.usefixtures("shared_database")


def written(path, header, rows):
    lines = (",".join('"' + str(v).replace('"', '""') + '"' for v in row) for row in rows)
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def hinted(message, key):
    """Return the value of a key that a message names, as it comes through the shell and Hydra."""
    word = re.search(rf"""("{key}=.*?\]"|'{key}=.*?\]'(?!\\)|{key}=[^\s,;]+)""", message)[0]
    shown = ["sh", "-c", f"printf %s {word}"]
    text = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    return parse([text])[0].value()


ODD = ["n0", "a, b", "it's", 'say "x"', "$HOME", "${x}", "a]b", "(none)", "1;2", "`id`", "11:34",
       "back\\slash", "#", "= 3", "!x"]  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_hinted_null_values_are_missing_values(tmp_path, odd):
    rows = [[i * 0.5, i % 7, i * i] for i in range(60)]
    rows[20][0] = odd
    path = written(tmp_path / "t.csv", "a,b,y", rows)
    with pytest.raises(gd.UserError, match="column 'a' has text in 1 of 60 rows") as caught:
        gd.Table(path=path, target="y").read()
    values = [v.replace("\\${", "${") for v in hinted(str(caught.value), "data.null_values")]
    assert values == [odd]
    frame = gd.Table(path=path, target="y", null_values=values).read()
    assert [column.kind for column in frame.columns] == ["number", "number"]
    assert np.flatnonzero(np.isnan(frame.values[0])).tolist() == [20]
    names = hinted(str(caught.value), "data.categorical")
    assert gd.Table(path=path, target="y", categorical=names).read().columns[0].kind == "category"
    assert "data.skip" not in str(caught.value)


DATES = {
    "2018/10/{:02d}": ["11:34", "n.n."],
    "{:02d}.10.2018": ["2018-10-01T00:00:00Z", "gestern"],
    "10/{:02d}/2018": ["1975-02-23T02:58:41.000Z"],
    "Oct {:d}, 2018": ["soon"],
}


@pytest.mark.parametrize("form", DATES)
def test_odd_cells_among_dates_are_named(tmp_path, form):
    rows = [[form.format(i % 28 + 1), i % 7, i * i] for i in range(100)]
    for place, odd in enumerate(DATES[form]):
        rows[7 + place][0] = odd
    path = written(tmp_path / "t.csv", "when,b,y", rows)
    count = len(DATES[form])
    words = f"column 'when' has text in {count} of 100 rows where the others are dates: "
    with pytest.raises(gd.UserError, match=words) as caught:
        gd.Table(path=path, target="y").read()
    values = hinted(str(caught.value), "data.null_values")
    assert values == DATES[form]
    frame = gd.Table(path=path, target="y", null_values=values).read()
    assert [column.kind for column in frame.columns] == ["date", "number"]
    assert np.isnan(frame.values[0]).sum() == count
    names = hinted(str(caught.value), "data.exclude")
    assert gd.Table(path=path, target="y", exclude=names).read().feature_names == ["b"]


@pytest.mark.parametrize("odd", [6, 40])
def test_dates_of_two_forms_are_text(tmp_path, odd):
    rows = [[f"2018/10/{i % 28 + 1:02d}", i % 7, i * i] for i in range(100)]
    for i in range(odd):
        rows[i][0] = f"week {i}"
    frame = gd.Table(path=written(tmp_path / "t.csv", "when,b,y", rows), target="y").read()
    assert [column.kind for column in frame.columns] == ["category", "number"]


def test_texts_of_the_first_row_may_be_a_header(tmp_path):
    rows = [["low", "1-2", 3.5], *([i % 3, i * 0.5, i * i] for i in range(40))]
    path = written(tmp_path / "t.csv", '"1","2","3"', rows)
    with pytest.raises(gd.UserError) as caught:
        gd.Table(path=path, target=3, header=False, skip=1).read()
    assert "data.header=true if row 1 holds the names" in str(caught.value)
    assert "data.skip=N if the first N lines" in str(caught.value)
    frame = gd.Table(path=path, target="3.5", header=True, skip=1).read()
    assert frame.feature_names == ["low", "1-2"]


def test_markers_of_spreadsheets_are_missing(tmp_path):
    marks = ["#NULL!", "#N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!"]
    rows = [[mark, mark, 1] for mark in marks] + [[i * 0.5, "uv"[i % 2], i * i] for i in range(30)]
    frame = gd.Table(path=written(tmp_path / "t.csv", "a,b,y", rows), target="y").read()
    assert [column.kind for column in frame.columns] == ["number", "category"]
    assert frame.columns[1].categories == ("u", "v")
    assert np.isnan(frame.values[0][:7]).all()


def test_a_left_out_number_comes_back_as_it_is_told(tmp_path):
    rows = [[i + 1, i % 7, "uv"[i % 2], i * i] for i in range(30)]
    path = written(tmp_path / "t.csv", "id,a b,c,y", rows)
    told = "\n".join(gd.Table(path=path, target="y").read().notes)
    names = hinted(told, "data.features")
    assert names == ["a b", "c", "id"]
    frame = gd.Table(path=path, target="y", features=names).read()
    assert [column.name for column in frame.columns] == names
    lonely = written(tmp_path / "l.csv", "id,y", [[row[0], row[-1]] for row in rows])
    with pytest.raises(gd.UserError, match="no features besides the target") as caught:
        gd.Table(path=lonely, target="y").read()
    assert hinted(str(caught.value), "data.features") == ["id"]


def test_new_dates_have_the_form_of_the_training_data(tmp_path):
    """Both forms read each date of the new rows; only one is that of the training data."""
    rows = [[f"{i % 12 + 1:02d}/{i % 28 + 1:02d}/2024", i % 12 * 31 + i % 28] for i in range(300)]
    path = written(tmp_path / "t.csv", "t,y", rows)
    words = ["data=table", f"data.path={path}", "data.target=y", "lr=0.3", "variant=batch"]
    gd.train(*words, "epochs=300", folder=tmp_path / "run")
    for form in ("{:02d}/01/2024", "2024-{:02d}-01", "{:02d}.1.24", "{:02d}/01/2024 00:00"):
        new = written(tmp_path / "new.csv", "t", [[form.format(month)] for month in (2, 3, 12)])
        predicted = gd.predict(tmp_path / "run", new).column(0).to_numpy()
        np.testing.assert_allclose(predicted, [31, 62, 341], atol=3)
    new = written(tmp_path / "new.csv", "t", [["02/01/2024"], ["soon"]])
    with pytest.raises(
        gd.UserError, match=r"expected dates \(month-day-year\), as in the training"
    ):
        gd.predict(tmp_path / "run", new)
