"""Tables of users: the values that are read, and the errors for wrong files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

import gdframe as gd

GOOD = """age,member,city,score
30,true,Oslo,1.5
40,false,Rome,2.5
50,true,Oslo,3.5
60,false,Bern,4.5
70,true,Rome,5.5
"""


def write(folder, text, name="data.csv"):
    path = folder / name
    path.write_text(text)
    return str(path)


def load(path, target="score", **settings):
    settings = {"validation": 0.0, "standardize": False, "missing": "error", **settings}
    return gd.Table(path=path, target=target, **settings).load(dtype=torch.float64)


def test_numbers_booleans_and_categories(tmp_path):
    data = load(write(tmp_path, GOOD))
    assert data.encoding.feature_names == ["age", "member", "city=Bern", "city=Oslo", "city=Rome"]
    assert data.train.features[0].tolist() == [30, 1, 0, 1, 0]
    assert data.train.targets[:, 0].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]


def test_parquet_equals_csv(tmp_path):
    csv = load(write(tmp_path, GOOD))
    table = pa.csv.read_csv(tmp_path / "data.csv")
    city = table.column("city").dictionary_encode()
    table = table.set_column(2, "city", city)
    pa.parquet.write_table(table, tmp_path / "data.parquet")
    parquet = load(str(tmp_path / "data.parquet"))
    assert torch.equal(csv.train.features, parquet.train.features)
    assert csv.encoding.feature_names == parquet.encoding.feature_names


def test_features_are_read_in_the_given_order(tmp_path):
    data = load(write(tmp_path, GOOD), features=["member", "age"])
    assert data.encoding.feature_names == ["member", "age"]


@pytest.mark.parametrize(
    ("column", "task", "classes"),
    [
        (["a", "b", "a"], "auto", ("a", "b")),
        (["true", "false", "true"], "auto", (False, True)),
        (["0", "1", "2"], "auto", (0, 1, 2)),
        (["1", "2", "1"], "auto", (1, 2)),
        (["3", "7", "8"], "auto", None),
        (["0", "1", "2"], "regression", None),
        (["3", "7", "3"], "classification", (3, 7)),
        (["3.0", "7.0", "3.0"], "classification", (3, 7)),
        (["0.5", "1", "2"], "auto", None),
    ],
)
def test_the_target_decides_the_task(tmp_path, column, task, classes):
    rows = "".join(f"{i},{value}\n" for i, value in enumerate(column))
    data = load(write(tmp_path, "x,y\n" + rows), "y", task=task)
    assert data.classes == classes


def test_missing_values_are_imputed_by_the_training_mean(tmp_path):
    text = "x,c,y\n1,a,1.5\n,b,2.5\n3,,3.5\n5,a,4.5\n"
    data = load(write(tmp_path, text), "y", missing="mean")
    assert data.train.features[1, 0].item() == 3.0
    np.testing.assert_allclose(data.train.features[2, 1:].numpy(), [2 / 3, 1 / 3])


def test_large_whole_numbers_stay_different_classes(tmp_path):
    rows = "".join(f"{i},{2**53 + i % 2}\n" for i in range(6))
    data = load(write(tmp_path, "x,y\n" + rows), "y", task="classification")
    assert data.classes == (2**53, 2**53 + 1)


def test_a_file_with_tabs_is_read(tmp_path):
    data = load(write(tmp_path, GOOD.replace(",", "\t"), "data.tsv"))
    assert data.features == 5


REFUSED = [
    ("x,y\n1,2\n,3\n,4\n7,5\n", {}, "column 'x' has 2 missing values, first in rows 2, 3"),
    ("x,y\n1,2\ninf,3\n", {}, "column 'x' has 1 infinite value, first in row 2"),
    ("x,y\n1,2\ninf,3\n", {"missing": "mean"}, "infinite"),
    (
        "x,y\n1,2\nn0,3\n4,5\n6,7\n",
        {},
        r"column 'x' has text in 1 of 4 rows .* 'n0', first in row 2",
    ),
    ("x,y\n1,2\n3,\n", {}, "target 'y' has 1 missing value, first in row 2"),
    ("x,y\n1,1.5\n3,nan\n", {}, "target 'y' has 1"),
    ("x,y\n1,a\n2,a\n", {}, "one class only"),
    ("x,y\n1,2\n", {"target": "z"}, "column 'z' of .* no such column"),
    ("xage,y\n1,2\n", {"features": ["xag"]}, "did you mean 'xage'"),
    ("x,y\n1,2\n", {"features": ["x", "y"]}, "leave it out"),
    ("x,y\n1,2\n", {"features": ["x", "x"]}, "twice"),
    ("x,y\n", {}, "has no rows"),
    ("", {}, "has no rows"),
    ("x,y\n1,2\n1,2,3\n", {}, "line 3 has 3 values, and the header has 2 columns"),
    ("y\n1.5\n2.5\n", {}, "no features"),
    ("x,y\n1,a\n2,b\n", {"task": "regression"}, "holds text"),
    ("x,y\n1,0.5\n2,1.5\n3,2.5\n", {"task": "classification"}, "not whole numbers"),
    ("x,y\na,1.5\nb,2.5\nc,3.5\n", {"max_categories": 2}, "no features .* 3 different texts"),
    (
        "x,y\na,1.5\nb,2.5\nc,3.5\n",
        {"max_categories": 2, "features": ["x"]},
        "3 different texts .* data.text=hash",
    ),
]


@pytest.mark.parametrize(("text", "settings", "words"), REFUSED)
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, settings, words):
    settings = {"target": "y", **settings}
    with pytest.raises(gd.UserError, match=words):
        load(write(tmp_path, text), **settings)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(gd.UserError, match="does not exist"):
        load(str(tmp_path / "none.csv"))
    with pytest.raises(gd.UserError, match="is a folder without files"):
        load(str(tmp_path))
    with pytest.raises(gd.UserError, match="cannot be read"):
        load(write(tmp_path, "PAR1 is no parquet", "data.parquet"))


def test_an_unusable_column_type_is_named(tmp_path):
    table = pa.table({"when": [[1], [2]], "y": [1.5, 2.5]})
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(gd.UserError, match=r"column 'when' is of type list.*data\.exclude="):
        load(str(tmp_path / "d.parquet"), "y")


@pytest.mark.parametrize("targets", ["y", "[y,z]"])
def test_a_target_far_from_zero_is_learned_as_well_as_one_near_it(tmp_path, targets):
    draw = np.random.default_rng(0)
    x = draw.normal(size=80)
    rows = [f"{a},{1.6e9 + 3 * a},{-2 * a}" for a in x.tolist()]
    path = tmp_path / "far.csv"
    path.write_text("\n".join(["x,y,z", *rows]) + "\n")
    words = ["data=table", f"data.path={path}", f"data.target={targets}", "data.features=[x]"]
    result = gd.train(*words, "lr=0.3", "variant=batch", folder=tmp_path / "run")
    assert result.metrics["validation"]["r2"] == pytest.approx(1.0, abs=1e-6)
    assert any(
        "shifted by 1.6e+09" in note for note in gd.Table(**table(path, targets)).load().notes
    )
    predicted = gd.predict(tmp_path / "run", path)
    expected = 1.6e9 + 3 * x
    assert np.abs(predicted[predicted.column_names[0]].to_numpy() - expected).max() < 1e-4
    effects = {c.feature: c for c in result.coefficients if c.output in ("", "1")}
    assert effects["x"].value == pytest.approx(3.0, rel=1e-5)
    assert effects["intercept"].value == pytest.approx(1.6e9, abs=1e-3)
    test = gd.Table(**table(path, targets), test=str(path)).load().test
    assert test.targets[:, 0].double().mean().abs() < 1.0
    assert gd.Table(**table(path, targets)).load(dtype=torch.float64).encoding.offset == ()
    if targets == "y":
        for word in ("loss=poisson", "metric=mape"):
            with pytest.raises(gd.UserError, match=r"is shifted.*set dtype=float64"):
                gd.train(*words, word)


def table(path, targets):
    names = targets.strip("[]").split(",")
    return {"path": str(path), "target": names, "exclude": ["z"] if names == ["y"] else []}
