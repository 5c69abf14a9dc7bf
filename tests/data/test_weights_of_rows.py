"""Weights of rows as they come in: refused, of weight 0, or in other files."""

from __future__ import annotations

import numpy as np
import pytest
from weighted import ROWS, WEIGHTS, features, targets

import gdframe as gd
from gdframe.errors import UserError


@pytest.mark.parametrize("weights", [
    [-1.0] * ROWS, [np.nan] * ROWS, [np.inf] * ROWS, [0.0] * ROWS, [1.0] * (ROWS - 1),
    [[1.0]] * ROWS, ["a"] * ROWS, 1.0, [None] * ROWS,
])  # fmt: skip
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(UserError, match="weight"):
        gd.Dataset.from_arrays(features(), targets("mse"), weights=weights)


def test_a_class_of_weightless_rows_is_none(tmp_path):
    x, y = features(), targets("cross_entropy")
    weights = np.where(y == 1, 0, 1 + WEIGHTS)
    data = gd.Dataset.from_arrays(x, y, weights=weights)
    assert data.classes == (0, 2)
    labels = np.array(["low", "middle", "high"])[y]
    rows = zip(x, labels, weights, strict=True)
    lines = ["a,b,c,y,w", *(",".join(map(str, [*r, label, w])) for r, label, w in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "data.weights=w"]
    result = gd.train(*table, "lr=0.1", "epochs=2", folder=tmp_path / "run")
    assert [c["label"] for c in result.data["classes"]] == ["high", "low"]
    assert result.loss == "binary_cross_entropy"


@pytest.mark.parametrize("missing", ["mean", "error"])
def test_weightless_rows_and_rows_without_a_target_need_nothing(tmp_path, missing):
    lines = ["a,y,w", *(f"{i},{2 * i + 0.5},{1 + i % 3}" for i in range(40)), "3,,0", "4,,0"]
    lines += [] if missing == "error" else ["5,,", "6,,"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "data.weights=w"]
    words = [f"data.missing={missing}", "lr=0.1", "epochs=2", "data.validation=0"]
    result = gd.train(*table, *words, folder=tmp_path / "run")
    assert result.data["rows"] == 40


def test_files_whose_weights_are_of_no_use(gdframe, tmp_path):
    rows = [f"{i},{2 * i + 0.5}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y,w", *(f"{row},1" for row in rows)]))
    (tmp_path / "zero.csv").write_text("\n".join(["a,y,w", *(f"{row},0" for row in rows), "3,,5"]))
    (tmp_path / "none.csv").write_text("\n".join(["a,y,w", *(f"{row}," for row in rows)]))
    table = ["data=table", "data.path=t.csv", "data.target=y", "data.weights=w", "lr=0.1"]
    done = gdframe(*table, "epochs=2", "data.test=zero.csv")
    assert (done.code, list(tmp_path.glob("outputs/*/*"))) == (2, [])
    assert "every weight of 40 rows is 0" in done.err
    assert gdframe(*table, "epochs=2", "hydra.run.dir=run").code == 0
    for name in ("zero", "none"):
        done = gdframe("predict", "run", f"{name}.csv")
        assert done.code == 0
        assert "no scores: data.weights=w" in done.err
