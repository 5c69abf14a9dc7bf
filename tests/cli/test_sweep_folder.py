"""A sweep's folder that is there already: what is reused, left out, refused; how runs are named."""

from __future__ import annotations

import gc
import json
import os
import signal

import pytest

import gdframe as gd
from gdframe.cli.main import main


def test_a_run_that_has_changed_since_is_not_taken_for_the_one_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "table.csv"
    rows = [f"{i},{(i * 7) % 10}" for i in range(40)]
    table.write_text("\n".join(["y,x", *rows]))
    asked = "data=table", f"data.path={table}", "data.target=y", "epochs=2", "lr=0.01,0.02"
    first = gd.sweep(*asked, folder="mine")
    assert main(["resume", "mine/1", "epochs=4"]) == 0
    more = gd.sweep(*asked, "sweep.reuse=true", folder="mine")
    assert [(row["folder"], row["epochs"]) for row in more.runs] == [("mine/0", 2), ("mine/2", 2)]
    assert "left out: run 1; the data have changed since, or it has gone on" in more.text
    assert len(first.runs) == 2
    table.write_text(table.read_text().replace("39,", "390,"))
    again = gd.sweep(*asked, "sweep.reuse=true", folder="mine")
    assert [row["folder"] for row in again.runs] == ["mine/3", "mine/4"]
    assert "left out: runs 0, 2;" in again.text  # no mean of old and new data
    assert again.runs[0]["train_loss"] != more.runs[0]["train_loss"]
    assert json.loads((tmp_path / "mine" / "summary.json").read_text())["left_out"] == [0, 2]


def test_a_run_that_went_on_is_left_out_by_resume_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gd.sweep("lr=0.01,0.02", "epochs=2", folder="mine")
    assert main(["resume", "mine/0", "epochs=4"]) == 0
    assert main(["resume", "mine"]) == 0
    assert "left out: run 0;" in capsys.readouterr().out


def test_what_was_left_unfinished_on_other_data_is_trained_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["y,x", *(f"{i},{(i * 7) % 10}" for i in range(40))]))
    asked = "data=table", f"data.path={table}", "data.target=y", "epochs=2", "lr=0.01,0.02"
    gd.sweep(*asked, "checkpoint.every=1", folder="mine")
    (tmp_path / "mine" / "1" / "result.json").unlink()  # as if it had been killed
    table.write_text(table.read_text().replace("39,", "390,"))
    again = gd.sweep(*asked, "sweep.reuse=true", folder="mine")
    assert [row["status"] for row in again.runs] == ["max_epochs"] * 2
    assert [row["folder"] for row in again.runs] == ["mine/2", "mine/3"]


def test_a_default_spelled_out_is_the_same_configuration(tmp_path):
    given = "variant=batch", "checkpoint.every=null"
    gd.sweep(*given, "lr=0.01,0.1", "seed=0,1", "epochs=3", folder=tmp_path)
    more = "lr=0.01,0.1", "seed=0,1,2", "epochs=3", "dtype=float32", "optimizer.clip_norm=null"
    found = gd.sweep(*given, *more, folder=tmp_path)
    assert [(c.settings, len(c.records)) for c in found.configurations] == [
        ({"lr": "0.1"}, 3), ({"lr": "0.01"}, 3),
    ]  # fmt: skip


def test_the_folder_of_a_run_is_no_sweeps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gd.train("epochs=1", folder="single")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "single").rglob("*")}
    asked = ["-m", "lr=0.01,0.1", "epochs=1", "sweep.reuse=true", "sweep.dir=single"]
    assert main(asked) == 2
    with pytest.raises(gd.UserError, match="single holds a run, not a sweep"):
        gd.sweep("lr=0.01,0.1", "epochs=1", folder="single")
    assert "single holds a run, not a sweep" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "single").rglob("*")} == before


def test_folders_of_runs_are_named_as_hydra_does(gdframe, tmp_path):
    given = ["-m", "lr=0.1,0.2", "seed=0,1", "epochs=1", "logging.tensorboard=false"]
    excluded = "hydra.job.config.override_dirname.exclude_keys=[seed,epochs,logging.tensorboard]"
    named = "hydra.sweep.subdir='${hydra.job.override_dirname}/seed${seed}'"
    done = gdframe(*given, "hydra.sweep.dir=a", excluded, named)
    assert done.code == 0, done.err
    where = tmp_path / "a"
    runs = sorted(str(path.parent.relative_to(where)) for path in where.rglob("result.json"))
    assert runs == ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0", "lr=0.2/seed1"]
    refused = gdframe(*given, "hydra.sweep.dir=b", "hydra.sweep.subdir=lr_${lr}")
    assert refused.code == 2
    assert "gives run 0 (lr=0.1 seed=0" in refused.err
    assert not (tmp_path / "b").exists()


def test_an_experiment_brings_its_own_combinations(tmp_path):
    found = gd.sweep("experiment=variants", "seed=0", "epochs=1", f"sweep.dir={tmp_path / 'here'}")
    assert {row["variant"] for row in found.runs} == {"batch", "minibatch", "sgd"}
    assert found.folder == tmp_path / "here"
    with pytest.raises(gd.UserError, match="name the folder once"):
        gd.sweep("lr=1,2", f"sweep.dir={tmp_path / 'here'}", folder=tmp_path / "there")


def test_ctrl_c_at_the_very_end_of_a_batch_is_not_lost(tmp_path, monkeypatch):
    calls, really = [], gc.set_threshold

    def pressed(*values):
        calls.append(values)
        really(*values)
        if len(calls) == 2:  # all is trained, and the sweep is being left
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(gc, "set_threshold", pressed)
    with pytest.raises(KeyboardInterrupt):
        gd.sweep("lr=0.01,0.1", "epochs=1", folder=tmp_path)
    assert len(calls) == 2
