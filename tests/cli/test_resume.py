"""Runs that go on: after their end, after kill -9, after Ctrl-C, with damage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gdframe.cli.main import main

SETTINGS = ["data=regression", "data.rows=400", "stopping.tolerance=null", "logging.histograms=0"]


def model(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    a, b = model(one), model(other)
    assert all(torch.equal(a[name], b[name]) for name in b)
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gdframe",
            *SETTINGS,
            "engine=eager",
            f"hydra.run.dir={folder}",
            *arguments,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(found, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("variant", "engine", "dtype"),
    [
        ("batch", "gram", "float32"),
        pytest.param("batch", "eager", "float64", marks=pytest.mark.slow),
        ("sgd", "linear", "float64"),
        pytest.param("sgd", "eager", "float32", marks=pytest.mark.slow),
        pytest.param("minibatch", "linear", "float32", marks=pytest.mark.slow),
        ("minibatch", "eager", "float64"),
    ],
)
def test_more_epochs_equal_a_longer_run(gdframe, tmp_path, variant, engine, dtype):
    given = [*SETTINGS, f"dtype={dtype}", f"variant={variant}", "optimizer=adam", "lr=0.01"]
    given += ["schedule=exponential", f"engine={engine}"]
    assert gdframe(*given, "epochs=3", "hydra.run.dir=cut").code == 0
    again = gdframe("resume", "cut", "epochs=5")
    assert again.code == 0, again.err
    assert gdframe(*given, "epochs=5", "hydra.run.dir=whole").code == 0
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("delay", [0.0, pytest.param(0.4, marks=pytest.mark.slow)])
def test_after_kill_9(gdframe, tmp_path, delay):
    given = ["variant=sgd", "epochs=12", "optimizer=momentum", "lr=0.001", "schedule=cosine"]
    run = start(tmp_path / "cut", *given, "checkpoint.every=0.05s")
    wait_for(lambda: list((tmp_path / "cut").glob("checkpoint/step-*")))
    time.sleep(delay)
    run.kill()
    run.communicate()
    assert not (tmp_path / "cut" / "result.json").exists()
    again = gdframe("resume", "cut")
    assert again.code == 0, again.err
    whole = start(tmp_path / "whole", *given)
    whole.communicate()
    assert_same(tmp_path / "cut", tmp_path / "whole")
    check_events(tmp_path / "cut", tmp_path / "whole")


def check_events(one: Path, other: Path) -> None:
    """The curves of a resumed run are those of one that was never cut."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = []
    for folder in (one, other):
        assert len(list(folder.glob("events.out.tfevents.*"))) == 1
        accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        accumulator.Reload()
        curves.append(
            {
                tag: [(e.step, e.value) for e in accumulator.Scalars(tag)]
                for tag in accumulator.Tags()["scalars"]
            }
        )
    assert curves[0] == curves[1]


def test_killed_before_the_first_checkpoint_it_starts_again(gdframe, tmp_path):
    run = start(tmp_path / "cut", "variant=sgd", "epochs=3")
    wait_for(lambda: (tmp_path / "cut" / ".hydra" / "config.yaml").exists())
    wait_for(lambda: (tmp_path / "cut" / ".hydra" / "overrides.yaml").exists())
    run.kill()
    run.communicate()
    again = gdframe("resume", "cut")
    assert again.code == 0, again.err
    start(tmp_path / "whole", "variant=sgd", "epochs=3").communicate()
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_after_ctrl_c_amid_an_epoch(gdframe, tmp_path):
    given = ["variant=sgd", "data.rows=8000", "epochs=1", "lr=0.001"]
    run = start(tmp_path / "cut", *given, "checkpoint.every=0.05s")
    wait_for(lambda: list((tmp_path / "cut").glob("checkpoint/step-*")))
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert run.returncode == 130
    assert "interrupted: interrupted by Ctrl-C" in out
    assert "Traceback" not in err
    result = json.loads((tmp_path / "cut" / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert 0 < result["steps"] < 6_400
    again = gdframe("resume", "cut")
    assert again.code == 0, again.err
    start(tmp_path / "whole", *given).communicate()
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_damaged_newest_checkpoint_is_reported(gdframe, tmp_path):
    given = [*SETTINGS, "variant=minibatch", "checkpoint.every=1"]
    assert gdframe(*given, "epochs=3", "hydra.run.dir=cut").code == 0
    checkpoints = sorted((tmp_path / "cut" / "checkpoint").iterdir())
    assert len(checkpoints) == 3
    checkpoints[-1].write_bytes(checkpoints[-1].read_bytes()[:-10])
    again = gdframe("resume", "cut", "epochs=5")
    assert again.code == 0, again.err
    assert f"checkpoint {checkpoints[-1].name} is damaged" in again.out
    assert gdframe(*given, "epochs=5", "hydra.run.dir=whole").code == 0
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_finished_run_says_again_how_it_ended(gdframe, tmp_path):
    assert gdframe(*SETTINGS, "epochs=2", "hydra.run.dir=run").code == 0
    before = json.loads((tmp_path / "run" / "result.json").read_text())
    again = gdframe("resume", "run")
    assert again.code == 0
    after = json.loads((tmp_path / "run" / "result.json").read_text())
    assert after["reason"] == before["reason"]
    assert after["reason"].startswith("reached the limit of 2 epochs; the objective is 840 times")
    assert after["objective"] == before["objective"]


def test_what_would_be_another_run_is_refused(gdframe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gdframe(*SETTINGS, "epochs=2", "hydra.run.dir=run", "schedule=cosine").code == 0
    for arguments, words in (
        (["lr=0.5"], "a run goes on as it began"),
        (["epochs=many"], "epochs=many"),
        (["epochs=0"], "must be at least 1"),
        (["stopping.nothing=1"], "nothing"),
        (["epochs=4"], "schedule.epochs=2"),
        (["rubbish"], "cannot read 'rubbish'"),
    ):
        assert main(["resume", "run", *arguments]) == 2
        (said,) = (s for s in capsys.readouterr().err.splitlines() if s.startswith("gdframe: "))
        assert words in said
    assert gdframe("resume", "run", "epochs=4", "schedule.epochs=2").code == 0


def test_other_data_are_noticed_and_paths_hold_from_anywhere(gdframe, tmp_path):
    rows = "".join(f"{i},{2 * i}.5\n" for i in range(40))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    given = ["data=table", "data.path=t.csv", "data.target=y", "epochs=2", "batch_size=8"]
    assert gdframe(*given, "hydra.run.dir=run").code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert gdframe("resume", "../run", "epochs=3", cwd=elsewhere).code == 0
    (tmp_path / "t.csv").write_text("x,y\n" + rows.replace("4.5", "5.5"))
    done = gdframe("resume", "run", "epochs=4")
    assert done.code == 2
    assert "the data is not what the run was trained on" in done.err


def test_fewer_epochs_than_were_done_are_refused(gdframe):
    assert gdframe(*SETTINGS, "epochs=4", "hydra.run.dir=run").code == 0
    done = gdframe("resume", "run", "epochs=2")
    assert done.code == 2
    assert "the run has already done 4 epochs" in done.err
    assert "one value, not several" in gdframe("resume", "run", "epochs=5,6").err


@pytest.mark.parametrize("delay", [0.7, 1.4])
def test_a_signal_during_set_up_leaves_nothing(tmp_path, delay):
    run = subprocess.Popen(
        [sys.executable, "-m", "gdframe", "data=digits", "model=mlp"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(delay)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate()
    assert run.returncode == 130
    assert "Traceback" not in err
    left = list(tmp_path.rglob("*"))
    assert not left or any(path.name == "result.json" for path in left)


def test_a_run_that_is_still_training_is_left_alone(gdframe, tmp_path):
    run = start(tmp_path / "busy", "variant=sgd", "epochs=100000", "lr=1e-9")
    try:
        wait_for(lambda: list((tmp_path / "busy").glob("events*")))
        done = gdframe("resume", "busy")
        assert done.code == 2
        assert "a run is being trained in busy" in done.err
    finally:
        run.kill()
        run.communicate()


def test_folders_that_are_no_runs_are_refused(gdframe, tmp_path):
    (tmp_path / "other" / ".hydra").mkdir(parents=True)
    (tmp_path / "other" / ".hydra" / "config.yaml").write_text("lr: [")
    assert "cannot be read" in gdframe("resume", "other").err
    (tmp_path / "other" / ".hydra" / "config.yaml").write_text("lr: 1")
    done = gdframe("resume", "other")
    assert done.code == 2
    assert "not a config of gdframe's" in done.err
