"""``history.csv`` has a row for each epoch, during training and after a resume."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import gdframe as gd


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_table_holds_the_history(tmp_path):
    result = gd.train("observer=csv", "epochs=7", folder=tmp_path / "run")
    rows = read(tmp_path / "run" / "history.csv")
    for name, column in result.history.epochs.items():
        np.testing.assert_array_equal([float(row[name]) for row in rows], column)


def test_the_interval_is_followed_and_the_last_epoch_has_a_row(tmp_path):
    gd.train("observer=csv", "observer.csv.every=3", "epochs=7", folder=tmp_path / "run")
    rows = read(tmp_path / "run" / "history.csv")
    assert [row["epoch"] for row in rows] == ["0", "3", "6", "7"]


def test_a_resumed_run_has_the_same_table(tmp_path, gdframe):
    words = ["lr=0.01", "observer=csv", "stopping.tolerance=null", "checkpoint.every=2"]
    gd.train(*words, "epochs=9", folder=tmp_path / "whole")
    gd.train(*words, "epochs=5", folder=tmp_path / "cut")
    path = tmp_path / "cut" / "history.csv"
    beyond = path.read_text().splitlines()[-1].split(",")
    beyond[:2] = ["7", "100000"]  # a row that the checkpoint does not know
    path.write_text(path.read_text() + ",".join(beyond) + "\n")
    done = gdframe("resume", str(tmp_path / "cut"), "epochs=9")
    assert done.code == 0, done.err
    whole, cut = (read(tmp_path / run / "history.csv") for run in ("whole", "cut"))
    assert [*whole[0]] == [*cut[0]]
    assert [{**row, "seconds": ""} for row in whole] == [{**row, "seconds": ""} for row in cut]


def test_runs_of_a_sweep_have_a_table(tmp_path):
    result = gd.sweep("observer=csv", "lr=0.01,0.1", "epochs=2", folder=tmp_path / "sweep")
    assert len(result.runs) == 2
    assert len(list(tmp_path.glob("sweep/*/history.csv"))) == 2


def test_a_wrong_interval_is_refused(tmp_path):
    with pytest.raises(
        gd.UserError, match=r"observer\.csv\.every=0: expected a whole number of at least 1"
    ):
        gd.train("observer=csv", "observer.csv.every=0", folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_observers_are_given_to_train_from_python(tmp_path):
    epochs = []

    class Watch(gd.Observer):
        def on_epoch(self, run):
            epochs.append(int(run.history.last["epoch"]))

    gd.train("epochs=3", "stopping.tolerance=null", observers=[Watch()], folder=tmp_path / "run")
    assert epochs == [1, 2, 3]
    with pytest.raises(gd.UserError, match="observer was given as"):
        gd.train("epochs=3", observers=[print], folder=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_rows_of_epochs_without_the_observer_are_added_by_a_resume(gdframe, tmp_path):
    words = ("lr=0.01", "stopping.tolerance=null", "checkpoint.every=1", "variant=batch")
    assert gdframe(*words, "observer=csv", "epochs=9", "hydra.run.dir=whole").code == 0
    assert gdframe(*words, "observer=csv", "epochs=3", "hydra.run.dir=cut").code == 0
    assert gdframe("resume", "cut", "epochs=6", "~observer").code == 0
    assert len(read(tmp_path / "cut" / "history.csv")) == 4
    assert gdframe("resume", "cut", "epochs=9", "observer=[csv]").code == 0
    tables = [read(tmp_path / run / "history.csv") for run in ("whole", "cut")]
    for row in (*tables[0], *tables[1]):
        del row["seconds"]
    assert tables[0] == tables[1]
