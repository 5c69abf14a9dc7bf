"""Existing sweep folders: reused, excluded and refused runs; names of run folders."""

from __future__ import annotations

import gc
import json
import os
import signal

import command
import pytest
from thinned import thinned

import gdframe as gd
from gdframe.cli.main import main
from gdframe.runs.sweep_folder import SweepFolder


def test_a_run_whose_data_or_settings_have_changed_is_trained_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "table.csv"
    rows = [f"{i},{(i * 7) % 10}" for i in range(40)]
    table.write_text("\n".join(["y,x", *rows]))
    words = "data=table", f"data.path={table}", "data.target=y", "epochs=2", "lr=0.01,0.02"
    first = gd.sweep(*words, folder="mine")
    assert main(["resume", "mine/1", "epochs=4"]) == 0
    second = gd.sweep(*words, "sweep.reuse=true", folder="mine")
    assert [(row["folder"], row["epochs"]) for row in second.runs] == [("mine/0", 2), ("mine/2", 2)]
    assert "excluded: run 1 " in second.text
    assert len(first.runs) == 2
    table.write_text(table.read_text().replace("39,", "390,"))
    third = gd.sweep(*words, "sweep.reuse=true", folder="mine")
    assert [row["folder"] for row in third.runs] == ["mine/3", "mine/4"]
    assert "excluded: runs 0, 2 " in third.text  # no mean of old and new data
    assert third.runs[0]["train_loss"] != second.runs[0]["train_loss"]
    assert json.loads((tmp_path / "mine" / "summary.json").read_text())["left_out"] == [0, 2]


@pytest.mark.parametrize("start", thinned(["command line", "api", "basic launcher"], 3))
def test_a_sweep_over_relative_paths_resumes_from_another_folder(
    gdframe, tmp_path, monkeypatch, start
):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    for name, slope in (("a.csv", 2), ("b.csv", 3)):
        rows = [f"{i},{slope * i + 0.5}" for i in range(60)]
        (here / name).write_text("\n".join(["x,y", *rows]))
    monkeypatch.chdir(here)
    words = ["data=table", "data.target=y", "epochs=2", "data.path=a.csv,b.csv"]
    if start == "api":
        gd.sweep(*words, folder="mine")
    else:
        basic = ["hydra/launcher=basic"] if start == "basic launcher" else []
        assert gdframe("-m", *words, "hydra.sweep.dir=mine", *basic, cwd=here).code == 0
    before = (here / "mine" / "1" / "result.json").read_text()
    (here / "mine" / "1" / "result.json").unlink()
    done = gdframe("resume", str(here / "mine"), cwd=elsewhere)
    assert done.code == 0, done.err
    after = json.loads((here / "mine" / "1" / "result.json").read_text())
    assert after["train_loss"] == json.loads(before)["train_loss"]
    assert not list(elsewhere.iterdir())


def test_a_sweep_without_a_path_asks_for_it(tmp_path):
    with pytest.raises(gd.UserError, match=r"needs data\.path=\.\.\."):
        gd.sweep("data=table", "data.target=y", "lr=0.1,0.2", folder=tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_continued_run_is_excluded_from_a_resumed_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gd.sweep("lr=0.01,0.02", "epochs=2", folder="mine")
    assert main(["resume", "mine/0", "epochs=4"]) == 0
    assert main(["resume", "mine"]) == 0
    assert "excluded: run 0 " in capsys.readouterr().out


def test_an_unfinished_run_on_old_data_is_trained_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["y,x", *(f"{i},{(i * 7) % 10}" for i in range(40))]))
    words = "data=table", f"data.path={table}", "data.target=y", "epochs=2", "lr=0.01,0.02"
    gd.sweep(*words, "checkpoint.every=1", folder="mine")
    (tmp_path / "mine" / "1" / "result.json").unlink()  # as after a kill
    table.write_text(table.read_text().replace("39,", "390,"))
    second = gd.sweep(*words, "sweep.reuse=true", folder="mine")
    assert [row["status"] for row in second.runs] == ["max_epochs"] * 2
    assert [row["folder"] for row in second.runs] == ["mine/2", "mine/3"]


def test_an_override_equal_to_the_default_is_the_same_configuration(tmp_path):
    common = "variant=batch", "checkpoint.every=null"
    gd.sweep(*common, "lr=0.01,0.1", "seed=0,1", "epochs=3", folder=tmp_path)
    words = "lr=0.01,0.1", "seed=0,1,2", "epochs=3", "dtype=float32", "optimizer.clip_norm=null"
    sweep = gd.sweep(*common, *words, folder=tmp_path)
    assert [(c.settings, len(c.records)) for c in sweep.configurations] == [
        ({"lr": "0.1"}, 3), ({"lr": "0.01"}, 3),
    ]  # fmt: skip


def test_a_run_folder_is_refused_as_a_sweep_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gd.train("epochs=1", folder="single")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "single").rglob("*")}
    words = ["-m", "lr=0.01,0.1", "epochs=1", "sweep.reuse=true", "sweep.dir=single"]
    assert main(words) == 2
    with pytest.raises(gd.UserError, match="single"):
        gd.sweep("lr=0.01,0.1", "epochs=1", folder="single")
    assert "single" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "single").rglob("*")} == before


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_a_run_is_locked_with_its_sweep_however_deep_it_lies(gdframe, tmp_path, depth):
    subdir = "/".join(["x"] * (depth - 1) + ["${hydra.job.num}"])
    words = ["-m", "seed=0,1", "lr=0.01", "epochs=2", "sweep.dir=s", f"hydra.sweep.subdir={subdir}"]
    assert gdframe(*words).code == 0
    run = tmp_path.joinpath("s", *["x"] * (depth - 1), "0")
    with command.locked_elsewhere(tmp_path / "s"):
        done = gdframe("resume", str(run), "epochs=3")
    assert done.code == 2
    assert "another process" in done.err


@pytest.mark.parametrize("name", ["mean", ".batches"])
def test_a_run_takes_no_folder_of_its_sweep(gdframe, tmp_path, name):
    subdir = f"hydra.sweep.subdir={name}/${{hydra.job.num}}"
    done = gdframe("-m", "seed=0,1", "lr=0.01", "epochs=2", "sweep.dir=s", subdir)
    assert done.code == 2
    assert f"a sweep keeps its own files in {name}" in done.err


def test_run_folders_are_named_by_hydras_subdir(gdframe, tmp_path):
    words = ["-m", "lr=0.1,0.2", "seed=0,1", "epochs=1", "logging.tensorboard=false"]
    excluded = "hydra.job.config.override_dirname.exclude_keys=[seed,epochs,logging.tensorboard]"
    subdir = "hydra.sweep.subdir='${hydra.job.override_dirname}/seed${seed}'"
    done = gdframe(*words, "hydra.sweep.dir=a", excluded, subdir)
    assert done.code == 0, done.err
    folder = tmp_path / "a"
    runs = sorted(str(path.parent.relative_to(folder)) for path in folder.rglob("result.json"))
    assert runs == ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0", "lr=0.2/seed1"]
    refused = gdframe(*words, "hydra.sweep.dir=b", "hydra.sweep.subdir=lr_${lr}")
    assert refused.code == 2
    assert "run 0 (lr=0.1 seed=0" in refused.err
    assert not (tmp_path / "b").exists()


def test_the_name_of_a_sweep_folder_may_refer_to_keys(gdframe, tmp_path):
    words = ["-m", "lr=0.1,0.2", "epochs=1", "logging.tensorboard=false"]
    for attempt in range(2):
        done = gdframe(*words, "sweep.dir='out/${seed}'")
        assert done.code == 2 * attempt, done.err
    assert "already holds" in done.err
    assert (tmp_path / "out" / "0" / "summary.json").is_file()


@pytest.mark.parametrize(
    "folders", [["hydra.run.dir=a", "sweep.dir=b"], ["hydra.run.dir=a"],
                ["hydra.sweep.dir=a", "++sweep.dir=b"]],
)  # fmt: skip
def test_a_sweep_folder_that_is_named_twice_is_refused(tmp_path, monkeypatch, capsys, folders):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", "lr=0.1,0.2", "epochs=1", *folders]) == 2
    assert "name the folder of a sweep once" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["²", "٣", "1" * 20, "007"])
def test_a_sweep_numbers_its_runs_whatever_else_is_there(tmp_path, name):
    words = "epochs=1", "logging.tensorboard=false", "checkpoint.every=null"
    gd.sweep("lr=0.1", *words, folder=tmp_path)
    (tmp_path / name / ".hydra").mkdir(parents=True)
    (tmp_path / name / ".hydra" / "config.yaml").touch()
    sweep = gd.sweep("lr=0.1,0.2", *words, folder=tmp_path)
    added = "8" if name == "007" else "1"
    assert [row["folder"] for row in sweep.runs] == [str(tmp_path / "0"), str(tmp_path / added)]
    (tmp_path / "sweep.json").unlink()
    assert SweepFolder(tmp_path).runs()[-1].path.name in (name, added)


def test_an_experiment_has_its_own_combinations(tmp_path):
    sweep = gd.sweep("experiment=variants", "seed=0", "epochs=1", f"sweep.dir={tmp_path / 'a'}")
    assert {row["variant"] for row in sweep.runs} == {"batch", "minibatch", "sgd"}
    assert sweep.folder == tmp_path / "a"
    with pytest.raises(gd.UserError, match=r"sweep\.dir="):
        gd.sweep("lr=1,2", f"sweep.dir={tmp_path / 'a'}", folder=tmp_path / "b")


def test_ctrl_c_at_the_end_of_a_group_is_not_lost(tmp_path, monkeypatch):
    calls, set_threshold = [], gc.set_threshold

    def interrupt(*values):
        calls.append(values)
        set_threshold(*values)
        if len(calls) == 2:  # after the training, at the end of the sweep
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(gc, "set_threshold", interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a library may have its own
    try:
        with pytest.raises(KeyboardInterrupt):
            gd.sweep("lr=0.01,0.1", "epochs=1", folder=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) == 2
