"""Sweeps that are killed, interrupted, out of disk space, or in one folder with another."""

from __future__ import annotations

import resource
import shutil
import signal

import pytest
import torch
from command import locked_elsewhere, start, summary_rows, wait_for
from safetensors.torch import load_file

import gdframe as gd
from gdframe.cli.main import main

LONG = (
    "data=regression", "data.rows=1000", "engine=eager", "epochs=30", "stopping.tolerance=null",
    "checkpoint.every=1", "sweep.dir=long",
)  # fmt: skip


@pytest.mark.slow
def test_a_killed_and_resumed_sweep_equals_an_uninterrupted_one(gdframe, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    done = gdframe("-m", *LONG, "lr=0.001,0.002", "variant=minibatch,batch", cwd=whole)
    assert done.code == 0, done.err
    run = start(tmp_path, "-m", *LONG, "lr=0.001,0.002", "variant=minibatch,batch")
    wait_for(lambda: list(tmp_path.glob("long/0/checkpoint/step-*")))
    run.kill()
    run.communicate()
    before = len(list(tmp_path.glob("long/*/result.json")))
    assert before < 4
    resumed = gdframe("resume", "long")
    assert resumed.code == 0, resumed.err
    rows = summary_rows(tmp_path / "long")
    assert [row["status"] for row in rows] == ["max_epochs"] * 4
    for number in range(4):
        expected, values = (
            load_file(folder / "long" / str(number) / "model.safetensors")
            for folder in (whole, tmp_path)
        )
        assert all(torch.equal(values[name], value) for name, value in expected.items())
    finished = gdframe("resume", "long")
    assert finished.code == 0, finished.err
    assert "sweep: 0 runs" in finished.out
    assert "4 trained before" in finished.out
    refused = gdframe("resume", "long", "epochs=40")
    assert refused.code == 2


def test_ctrl_c_writes_results_and_a_summary(gdframe, tmp_path):
    run = start(tmp_path, "-m", *LONG, "lr=0.001,0.002", "variant=minibatch,batch")
    wait_for(lambda: list(tmp_path.glob("long/0/checkpoint/step-*")))
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert "2 interrupted" in out
    rows = summary_rows(tmp_path)
    assert [row["status"] for row in rows].count("interrupted") == 2
    assert len(rows) == 4  # two have not started
    resumed = gdframe("resume", "long")
    assert resumed.code == 0, resumed.err
    assert {row["status"] for row in summary_rows(tmp_path)} == {"max_epochs"}


@pytest.mark.slow
def test_a_full_disk_ends_the_sweep_with_one_message(tmp_path, gdframe):
    limit = 40_000  # bytes of a file: the event file becomes larger
    run = start(
        tmp_path, "-m", "data=regression", "variant=sgd", "lr=0.001,0.002", "epochs=3",
        "engine=eager", "data.rows=200", "sweep.dir=full",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "Traceback" not in err
    assert "allow larger files (ulimit -f), then resume with python -m gdframe resume full" in err
    resumed = gdframe("resume", "full")
    assert resumed.code == 0, resumed.err
    assert {row["status"] for row in summary_rows(tmp_path)} <= {"max_epochs", "converged"}


@pytest.mark.slow
def test_two_sweeps_in_one_second_have_different_folders(tmp_path):
    sweeps = [start(tmp_path, "-m", "lr=0.01,0.02", "epochs=1") for _ in range(2)]
    for sweep in sweeps:
        sweep.communicate(timeout=60)
        assert sweep.returncode == 0
    assert len(list(tmp_path.glob("outputs/sweeps/*/*/summary.csv"))) == 2


def test_a_locked_sweep_is_not_changed(tmp_path, capsys):
    gd.sweep("lr=0.01,0.02", "epochs=1", folder=tmp_path)
    (tmp_path / "summary.csv").unlink()
    with locked_elsewhere(tmp_path):
        assert main(["resume", str(tmp_path)]) == 2
        assert main(["resume", str(tmp_path / "0"), "epochs=2"]) == 2
    assert "another process or thread trains here" in capsys.readouterr().err
    assert not (tmp_path / "summary.csv").exists()
    with locked_elsewhere(tmp_path, shared=True):  # as another resumed run of the sweep
        assert main(["resume", str(tmp_path / "0"), "epochs=2"]) == 0


def test_a_sweep_killed_before_it_listed_its_runs_says_how_to_start_it(gdframe, tmp_path):
    words = ["-m", "epochs=1", "engine=eager", "seed=0,1", "sweep.dir=sweep"]
    assert gdframe(*words).code == 0
    for path in (tmp_path / "sweep").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "multirun.yaml":
            path.unlink()
    done = gdframe("resume", "sweep")
    assert done.code == 2
    assert "start it again by the same command" in done.err
    assert gdframe(*words).code == 0
