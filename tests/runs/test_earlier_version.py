"""Folders that version 0.1 wrote can be resumed, predicted with, watched and reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gdframe as gd
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
        "variant=minibatch", "optimizer=momentum", "epochs=8", "seed=1", "stopping.tolerance=null",
        "engine=eager", folder=stored / "whole",
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
