"""Predictions in the user's units and labels, from a run folder."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import gdframe as gd

WORDS = "size,kind,heated,price\n"
HOUSES = WORDS + "".join(
    f"{20 + i},{'flat' if i % 3 else 'house'},{'true' if i % 2 else 'false'},{100 + 5 * i}.5\n"
    for i in range(30)
)


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    """A regression with all kinds of columns, trained to its exact least-squares solution."""
    folder = tmp_path_factory.mktemp("houses")
    (folder / "houses.csv").write_text(HOUSES)
    gd.train(
        "data=table", f"data.path='{folder}/houses.csv'", "data.target=price", "variant=batch",
        "data.validation=0", "lr=0.3", "epochs=5000", "dtype=float64", folder=folder / "run",
    )  # fmt: skip
    return folder


def test_regression_predicts_in_the_users_units(houses):
    table = gd.predict(houses / "run", houses / "houses.csv")
    expected = [100.5 + 5 * i for i in range(30)]
    np.testing.assert_allclose(table.column("prediction").to_numpy(), expected, rtol=1e-4)


def test_columns_are_found_by_name_and_others_ignored(houses, tmp_path):
    (tmp_path / "new.csv").write_text("heated,note,kind,size\ntrue,x,flat,21\n")
    table = gd.predict(houses / "run", tmp_path / "new.csv")
    assert table.column("prediction")[0].as_py() == pytest.approx(105.5, rel=1e-4)


def test_parquet_equals_csv(houses, tmp_path):
    table = pa.csv.read_csv(houses / "houses.csv")
    pa.parquet.write_table(table, tmp_path / "houses.parquet")
    predictions = gd.predict(houses / "run", houses / "houses.csv")
    assert predictions.equals(gd.predict(houses / "run", tmp_path / "houses.parquet"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("size,kind\n1,flat\n", "column 'heated' of"),
        (WORDS + "many,flat,true,1\n", "column 'size' is of type string: expected numbers"),
        (WORDS + "1,flat,true,1\n2,flat,true,1\nx,flat,true,1\n", "text in 1 of 3 rows"),
        (WORDS, "has no rows"),
    ],
)
def test_files_that_do_not_fit_are_refused(houses, tmp_path, text, words):
    (tmp_path / "new.csv").write_text(text)
    with pytest.raises(gd.UserError, match=words):
        gd.predict(houses / "run", tmp_path / "new.csv")


STRICT = [
    ("1,boat,true,1\n", "'kind' .* 'boat', which the training data does not have, first in row 1"),
    ("1,flat,true,1\n,flat,true,1\n", "'size'.* 1 missing .* row 2"),
]


@pytest.mark.parametrize(("rows", "words"), STRICT)
def test_missing_values_and_unknown_categories_are_counted_or_refused(
    houses, tmp_path, rows, words, caplog
):
    (tmp_path / "new.csv").write_text(WORDS + rows)
    table = gd.predict(houses / "run", tmp_path / "new.csv")
    assert np.isfinite(table.column("prediction").to_numpy()).all()
    assert "--strict refuses them" in caplog.text
    with pytest.raises(gd.UserError, match=words):
        gd.predict(houses / "run", tmp_path / "new.csv", strict=True)


@pytest.mark.parametrize(
    "kinds",
    [
        pa.array([["flat"]]),
        pa.array([b"\xff"]),
        pa.Array.from_buffers(pa.string(), 1, [None, *pa.array([b"\xff"]).buffers()[1:]]),
    ],
    ids=lambda array: str(array.type),
)
def test_columns_of_a_parquet_file_that_are_no_text_are_refused(houses, tmp_path, kinds):
    table = pa.table({"size": [1], "kind": kinds, "heated": [True]})
    pa.parquet.write_table(table, tmp_path / "new.parquet")
    with pytest.raises(gd.UserError, match=r"expected text|UTF-?8"):
        gd.predict(houses / "run", tmp_path / "new.parquet")


def test_categories_are_read_as_text_even_if_they_look_like_numbers(tmp_path):
    labels = ["01", "1", "A1", "true"]
    rows = "".join(f"{labels[i % 4]},{i % 4}.5\n" for i in range(40))
    (tmp_path / "t.csv").write_text("c,y\n" + rows)
    gd.train(
        "data=table", f"data.path='{tmp_path}/t.csv'", "data.target=y", "variant=batch",
        "data.validation=0", "lr=0.1", "epochs=2000", folder=tmp_path / "run",
    )  # fmt: skip
    for label, expected in zip(labels, (0.5, 1.5, 2.5, 3.5), strict=True):
        (tmp_path / "new.csv").write_text(f"c\n{label}\n{label}\n")
        predicted = gd.predict(tmp_path / "run", tmp_path / "new.csv").column("prediction")
        np.testing.assert_allclose(predicted.to_numpy(), expected, atol=0.01)


def test_missing_values_are_imputed_as_in_training(tmp_path):
    rows = "".join(f"{i if i % 5 else ''},{2 * i}.5\n" for i in range(20))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    gd.train(
        "data=table", f"data.path='{tmp_path}/t.csv'", "data.target=y", "data.missing=mean",
        "epochs=2", "batch_size=4", folder=tmp_path / "run",
    )  # fmt: skip
    table = gd.predict(tmp_path / "run", tmp_path / "t.csv")
    assert np.isfinite(table.column("prediction").to_numpy()).all()


@pytest.mark.parametrize(
    ("overrides", "probabilities"),
    [
        (["data=iris"], True),
        (["data=iris", "model=mlp"], True),
        (["data=breast_cancer"], True),
        (["data=breast_cancer", "loss=hinge"], False),
    ],
)
def test_classifiers_predict_labels_and_probabilities(tmp_path, overrides, probabilities):
    result = gd.train(*overrides, "epochs=30", "lr=0.1", folder=tmp_path / "run")
    name = overrides[0].split("=")[1]
    frame = gd.DATASETS.build(name).read()
    columns = {n: frame.values[:, i] for i, n in enumerate(frame.feature_names)}
    pa.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    table = gd.predict(tmp_path / "run", tmp_path / "x.parquet")
    labels = np.array(frame.classes)[frame.target]
    accuracy = (np.array(table.column("prediction").to_pylist()) == labels).mean()
    counts = [len(part or ()) for part in row_sets(name)]
    metrics = result.metrics
    expected = np.average(
        [metrics["train"]["accuracy"], metrics["validation"]["accuracy"]], weights=counts
    )
    assert accuracy == pytest.approx(expected, abs=1e-6)
    names = table.column_names[1:]
    assert names == ([f"probability_{c}" for c in frame.classes] if probabilities else [])
    if probabilities:
        columns = np.column_stack([table.column(n).to_numpy() for n in names])
        np.testing.assert_allclose(columns.sum(axis=1), 1, rtol=1e-5)


def row_sets(name: str):
    data = gd.DATASETS.build(name).load()
    return data.train, data.validation


def test_poisson_predicts_counts(tmp_path):
    rows = "".join(f"{i / 10},{i // 4}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    gd.train(
        "data=table", f"data.path='{tmp_path}/t.csv'", "data.target=y", "data.task=regression",
        "loss=poisson", "epochs=20", "batch_size=8", folder=tmp_path / "run",
    )  # fmt: skip
    predicted = gd.predict(tmp_path / "run", tmp_path / "t.csv").column("prediction").to_numpy()
    assert (predicted > 0).all()


def test_a_function_cannot_predict(tmp_path):
    gd.train("model=rosenbrock", "epochs=2", folder=tmp_path / "run")
    with pytest.raises(gd.UserError, match="cannot predict"):
        gd.predict(tmp_path / "run", tmp_path / "x.csv")


def test_damaged_models_and_other_formats_are_refused(houses, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(gd.UserError, match=r"has no model\.safetensors"):
        gd.predict(run, houses / "houses.csv")
    content = (houses / "run" / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(content[:100])
    with pytest.raises(gd.UserError, match="is damaged"):
        gd.predict(run, houses / "houses.csv")
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(1)}, run / "model.safetensors", {"format": json.dumps(99)})
    with pytest.raises(gd.UserError, match="format 99"):
        gd.predict(run, houses / "houses.csv")


def test_the_command_line_prints_or_writes(gdframe, houses, tmp_path):
    run, data = str(houses / "run"), str(houses / "houses.csv")
    printed = list(csv.DictReader(io.StringIO(gdframe("predict", run, data).out)))
    assert len(printed) == 30
    assert float(printed[3]["prediction"]) == pytest.approx(115.5, rel=1e-4)
    for name in ("p.csv", "p.parquet"):
        done = gdframe("predict", run, data, "--output", name)
        assert done.code == 0, done.err
        assert done.out == f"30 predictions in {name}\n"
    written = pa.parquet.read_table(tmp_path / "p.parquet").column("prediction").to_pylist()
    assert written == pa.csv.read_csv(tmp_path / "p.csv").column("prediction").to_pylist()
    done = gdframe("predict", run, data, "--output", "p.xlsx")
    assert done.code == 2
    assert "expected a file that ends in .csv or .parquet" in done.err
    unread = gdframe("predict", run, "nowhere.csv", "--output", "p.xlsx")
    assert "--output p.xlsx" in unread.err  # before the data are read
    done = gdframe("predict", run, data, "--output", "nowhere/deep/p.csv")
    assert done.code == 2
    assert "nowhere/deep does not exist" in done.err
    (done.folder / "nowhere" / "deep").mkdir(parents=True)
    done = gdframe("predict", run, data, "--output", "nowhere/deep/p.csv")
    assert done.code == 0


LEARNS = """
import gdframe as gd

@gd.LOSSES.register("learns")
class Learns(gd.MSE):
    def encode(self, targets, dtype):
        self.mean = targets.mean()
        return (targets - self.mean).to(dtype)

    def predict(self, outputs):
        return outputs + self.mean
"""


def test_a_loss_that_learns_in_training_is_named(gdframe, houses, tmp_path):
    plugin = tmp_path / "learns.py"
    plugin.write_text(LEARNS)
    table = str(houses / "houses.csv")
    words = ["data=table", f"data.path={table}", "data.target=price", "loss=learns", "epochs=2"]
    assert gdframe(f"plugins=[{plugin}]", *words, "lr=0.01", "hydra.run.dir=run").code == 0
    done = gdframe("predict", "run", table, "--plugins", str(plugin))
    assert done.code == 2
    assert "loss Learns.predict fails" in done.err
    assert "resume" not in done.err


NORMALIZED = """
import torch
import gdframe as gd

@gd.MODELS.register("normalized")
class Normalized(torch.nn.Module):
    default_initializer = "xavier"

    def __init__(self, features, outputs=1):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(features, affine=False, track_running_stats=False)
        self.linear = torch.nn.Linear(features, outputs)

    def forward(self, x):
        return self.linear(self.norm(x))
"""


def test_a_model_that_compares_rows_gets_all_rows_and_says_so(gdframe, houses, tmp_path):
    plugin = tmp_path / "normalized.py"
    plugin.write_text(NORMALIZED)
    table = str(houses / "houses.csv")
    words = [
        "data=table",
        f"data.path={table}",
        "data.target=price",
        "data.validation=0",
        "lr=0.01",
    ]
    words += [f"plugins=[{plugin}]", "model=normalized", "epochs=20", "hydra.run.dir=run"]
    assert gdframe(*words).code == 0
    done = gdframe("predict", "run", table, "--plugins", str(plugin), "--output", "p.csv")
    assert done.code == 0
    assert "may depend on the other rows" in done.err + done.out
    loss = json.loads((done.folder / "run" / "result.json").read_text())["metrics"]["train"]["rmse"]
    predicted = pa.csv.read_csv(done.folder / "p.csv").column("prediction").to_numpy()
    prices = np.array([float(line.split(",")[-1]) for line in HOUSES.splitlines()[1:]])
    assert np.sqrt(np.mean((predicted - prices) ** 2)) == pytest.approx(loss, rel=1e-4)
