"""``-m`` with Hydra's basic launcher: a folder for each run, and one table of all."""

from __future__ import annotations

import csv
import math


def rows_of(done):
    (summary,) = done.folder.rglob("summary.csv")
    with summary.open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_leaves_folders_and_a_summary(gdframe):
    done = gdframe("-m", "variant=batch,sgd,minibatch", "lr=0.001,0.01", "epochs=2")
    assert done.code == 0, done.err
    assert len(done.runs) == 6
    rows = rows_of(done)
    assert [(row["variant"], row["lr"]) for row in rows] == [
        (v, lr) for v in ("batch", "sgd", "minibatch") for lr in ("0.001", "0.01")
    ]
    assert list(rows[0])[:3] == ["variant", "lr", "epochs"]
    assert all(row["status"] == "max_epochs" for row in rows)
    assert all(math.isfinite(float(row["metrics.validation.r2"])) for row in rows)
    assert [row["folder"].rsplit("/", 1)[1] for row in rows] == list("012345")
    assert "outputs/sweeps" in rows[0]["folder"]


def test_a_diverged_run_is_a_row_and_not_a_failure(gdframe):
    done = gdframe("-m", "lr=0.01,100", "epochs=2")
    assert done.code == 0, done.err
    assert [row["status"] for row in rows_of(done)] == ["max_epochs", "diverged"]


def test_a_failed_run_fails_the_sweep_and_not_its_neighbours(gdframe, bad_rule):
    done = gdframe("-m", f"plugins=[{bad_rule}]", "optimizer=bad,gd", "epochs=1")
    assert done.code == 1
    assert [row["status"] for row in rows_of(done)] == ["failed", "max_epochs"]


def test_wrong_values_are_refused(gdframe):
    done = gdframe("-m", "lr=0.1,fast")
    assert done.code == 2
    assert "lr=fast: expected a number" in done.err
    done = gdframe("-m", "optimizer=gd,adm")
    assert done.code == 2
    assert "Did you mean 'adam'?" in done.err
