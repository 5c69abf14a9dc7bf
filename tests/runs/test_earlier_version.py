"""Folders that version 0.1 wrote can be resumed, predicted with, watched and reported."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import gdframe as gd
from gdframe.config.train_run import resume_run
from gdframe.runs.run_folder import RunFolder

STORED = Path(__file__).parent / "version_0_1"


@pytest.fixture
def stored(tmp_path):
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_run_is_resumed_as_if_never_cut(stored, gdframe):
    done = gdframe("resume", "run", "epochs=8")
    assert done.code == 0, done.err
    whole = gd.train(
        "variant=minibatch", "optimizer=momentum", "lr=0.01", "epochs=8", "seed=1",
        "stopping.tolerance=null", "engine=eager", folder=stored / "whole",
    )  # fmt: skip
    resumed = RunFolder(stored / "run").read_result()
    assert resumed["objective"] == pytest.approx(whole.objective, rel=1e-6)
    assert list(resumed["metrics"]["train"]) == list(whole.metrics["train"])


def test_a_sweep_is_resumed(stored, gdframe):
    done = gdframe("resume", "sweep")
    assert done.code == 0, done.err
    assert "2 runs: 2 max_epochs" in done.out
    assert (stored / "sweep" / "1" / "result.json").is_file()


@pytest.mark.parametrize("verb", ["report", "watch"])
@pytest.mark.parametrize("folder", ["run", "sweep"])
def test_folders_are_reported_and_watched(stored, gdframe, verb, folder):
    done = gdframe(verb, folder)
    assert done.code == 0, done.err


def test_a_run_predicts(stored, gdframe):
    header = "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6"
    (stored / "rows.csv").write_text(f"{header}\n{','.join(['0.01'] * 10)}\n")
    done = gdframe("predict", "run", "rows.csv")
    assert done.code == 0, done.err
    assert len(done.out.split()) == 2


def test_a_run_on_a_table_that_was_read_in_another_way_is_refused(tmp_path, gdframe, monkeypatch):
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i / 7}\n" for i in range(40)))
    words = ("data=table", f"data.path={table}", "data.target=y", "epochs=2")
    gd.train(*words, folder=tmp_path / "run")
    table.write_text(table.read_text().replace("0.5714", "0.6"))
    assert "that version can resume it" not in gdframe("resume", "run", "epochs=3").err
    read = RunFolder.load_checkpoint

    def of_earlier_version(self):
        capture, problems = read(self)
        facts = {key: value for key, value in capture.facts.items() if key != "lr_reason"}
        return replace(capture, facts=facts), problems

    monkeypatch.setattr(RunFolder, "load_checkpoint", of_earlier_version)
    with pytest.raises(gd.UserError, match="that version can resume it"):
        resume_run(tmp_path / "run", ["epochs=3"])
