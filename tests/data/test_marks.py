"""Columns of one text and missing values, sparse texts, and categories of rows that remain."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import gdframe as gd
from gdframe.data.reading.typed_column import TypedColumn

pytestmark = pytest.mark.usefixtures("shared_database")


def written(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def baskets(seed, hole="", count=200):
    """Return rows of three marks and a class that two of them decide."""
    rng = np.random.default_rng(seed)
    bought = rng.random((count, 3)) < 0.4
    rows = [[*("t" if b else hole for b in row), "high" if row[0] or row[1] else "low"]
            for row in bought.tolist()]  # fmt: skip
    return bought, rows


@pytest.mark.parametrize("hole", ["", "?", "NA"])
@pytest.mark.parametrize("missing", ["mean", "drop", "error"])
def test_a_missing_value_beside_one_text_is_a_category(tmp_path, hole, missing):
    bought, rows = baskets(0, hole)
    path = written(tmp_path / "t.csv", "bread,milk,tea,total", rows)
    frame = gd.Table(path=path, target="total", missing=missing).read()
    assert frame.feature_names == [
        f"{name}={value}" for name in ("bread", "milk", "tea") for value in ("(missing)", "t")
    ]
    np.testing.assert_array_equal(frame.take(np.arange(200))[:, 1::2], bought)
    np.testing.assert_array_equal(frame.take(np.arange(200))[:, ::2], ~bought)
    told = "\n".join(frame.notes)
    assert "column 'bread' and 2 more columns of one text, such as 't': a missing value is" in told
    assert "take the training mean" not in told


def test_new_rows_tell_present_from_absent(tmp_path, caplog):
    _, rows = baskets(1)
    path = written(tmp_path / "t.csv", "bread,milk,tea,total", rows)
    words = ["data=table", f"data.path={path}", "data.target=total", "lr=1", "variant=batch"]
    result = gd.train(*words, "epochs=300", "stopping=[]", folder=tmp_path / "run")
    assert result.metrics["validation"]["accuracy"] == 1.0
    new = written(
        tmp_path / "new.csv", "bread,milk,tea", [["", "", "t"], ["T", "", ""], ["", "", ""]]
    )
    caplog.clear()
    assert gd.predict(tmp_path / "run", new).column(0).to_pylist() == ["low", "high", "low"]
    assert gd.predict(tmp_path / "run", new, strict=True).num_rows == 3
    assert not caplog.records
    other = written(tmp_path / "other.csv", "bread,milk,tea", [["x", "", "t"]])
    absent = written(tmp_path / "absent.csv", "bread,milk,tea", [["", "", "t"]])
    predicted = gd.predict(tmp_path / "run", absent)
    assert gd.predict(tmp_path / "run", other).equals(predicted)
    assert "1 value that the training data does not have, such as 'x'" in caplog.text
    with pytest.raises(gd.UserError, match=r"has the category 'x'.* expected one of t"):
        gd.predict(tmp_path / "run", other, strict=True)


@pytest.mark.parametrize("settings", [{}, {"features": ["a", "x"]}, {"categorical": ["a"]}])
def test_one_text_in_the_rows_that_remain(tmp_path, settings):
    rows = [["u" if i % 3 else "", i % 7, i * 0.5] for i in range(30)]
    rows += [["v", i % 7, ""] for i in range(30)]
    path = written(tmp_path / "t.csv", "a,x,y", rows)
    frame = gd.Table(path=path, target="y", **settings).read()
    assert frame.feature_names == ["a=(missing)", "a=u", "x"]


@pytest.mark.parametrize("seed", range(5))
def test_categories_are_those_of_the_rows_that_remain(tmp_path, seed):
    rng = np.random.default_rng(seed)
    texts = rng.choice(["u", "v", "w"], 60)
    rows = [[t, i % 7, "" if t == "w" else i * 0.5] for i, t in enumerate(texts)]
    frame = gd.Table(path=written(tmp_path / "t.csv", "a,x,y", rows), target="y").read()
    assert frame.feature_names == ["a=u", "a=v", "x"]
    kept = [text for text in texts if text != "w"]
    assert [frame.columns[0].categories[i] for i in frame.values[0]] == kept


@pytest.mark.parametrize("seed", range(10))
def test_filtered_rows_have_their_texts(seed):
    rng = np.random.default_rng(seed)
    texts = rng.choice([*"abcdef", None], 40).tolist()
    keep = rng.random(40) < rng.choice([0.0, 0.1, 0.5, 1.0])
    column = TypedColumn("c", "text", pa.array(texts, pa.string()).dictionary_encode())
    values = column.filtered(keep).values
    kept = [text for text, is_kept in zip(texts, keep, strict=True) if is_kept]
    assert values.to_pylist() == kept
    assert sorted(values.dictionary.to_pylist()) == sorted({text for text in kept if text})


def test_a_sparse_text_with_few_different_ones_is_a_feature(tmp_path):
    rows = [[("q", "r")[i // 50] if i in (3, 70) else "", i % 7, i * 0.5] for i in range(100)]
    frame = gd.Table(path=written(tmp_path / "t.csv", "a,x,y", rows), target="y").read()
    assert frame.feature_names == ["a=q", "a=r", "x"]


def test_texts_are_counted_in_the_rows_that_remain(tmp_path):
    rows = [[f"n{i}", f"m{i}" if i < 40 else "", i % 7, i * 0.5 if i < 60 else ""]
            for i in range(100)]  # fmt: skip
    frame = gd.Table(path=written(tmp_path / "t.csv", "a,b,x,y", rows), target="y").read()
    told = "\n".join(frame.notes)
    assert "'a' is left out: it has 60 different texts in 60 rows, as names have" in told
    assert "'b' is left out: it has 40 different texts in its 40 values, as names have" in told
    assert frame.feature_names == ["x"]
    frame = gd.Table(path=str(tmp_path / "t.csv"), target="y", categorical=["b"]).read()
    assert len(frame.feature_names) == 41
    rows = [[f"n{i % 150}", i % 7, i * 0.5] for i in range(400)]
    table = gd.Table(path=written(tmp_path / "t.csv", "a,x,y", rows), target="y")
    assert "to keep it, set data.max_categories=150, or data.text=hash" in table.read().notes[-1]


@pytest.mark.parametrize("classes", [3, 50, 120])
def test_a_copy_of_a_target_of_many_classes_is_told(tmp_path, classes):
    rng = np.random.default_rng(classes)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 8 * classes)])
    rows = [[f"name {i}", n % 7, f"k{i}"] for n, i in enumerate(labels)]
    settings = {"target": "y", "max_categories": 200}
    told = gd.Table(path=written(tmp_path / "t.csv", "a,x,y", rows), **settings).read().notes
    assert any("column 'a' determines the target exactly" in note for note in told)
    rows[-1][0] = rows[-2][0] + "x"
    told = gd.Table(path=written(tmp_path / "t.csv", "a,x,y", rows), **settings).read().notes
    assert not any("determines the target" in note for note in told)
