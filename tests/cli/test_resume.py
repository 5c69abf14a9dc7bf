"""Resumed runs: after their end, after kill -9, after Ctrl-C, with damaged checkpoints."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from itertools import product
from pathlib import Path

import pytest
import torch
from command import start, wait_for
from safetensors.torch import load_file
from thinned import thinned

from gdframe.cli.main import main

SETTINGS = ["data=regression", "data.rows=400", "stopping.tolerance=null", "logging.histograms=0"]


def model(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(run: Path, expected: Path) -> None:
    a, b = model(run), model(expected)
    assert all(torch.equal(a[name], b[name]) for name in b)
    results = [json.loads((path / "result.json").read_text()) for path in (run, expected)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]


def start_eager(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    keys = {argument.partition("=")[0] for argument in arguments}
    rest = [text for text in SETTINGS if text.partition("=")[0] not in keys]
    return start(folder.parent, *rest, "engine=eager", f"hydra.run.dir={folder}", *arguments)


@pytest.mark.parametrize(
    ("variant", "engine", "dtype"),
    [
        ("batch", "gram", "float32"),
        pytest.param("batch", "eager", "float64", marks=pytest.mark.slow),
        pytest.param("sgd", "linear", "float64", marks=pytest.mark.slow),
        pytest.param("sgd", "eager", "float32", marks=pytest.mark.slow),
        pytest.param("minibatch", "linear", "float32", marks=pytest.mark.slow),
        ("minibatch", "eager", "float64"),
    ],
)
def test_more_epochs_equal_a_longer_run(gdframe, tmp_path, variant, engine, dtype):
    words = [*SETTINGS, f"dtype={dtype}", f"variant={variant}", "optimizer=adam", "lr=0.01"]
    words += ["schedule=exponential", f"engine={engine}"]
    assert gdframe(*words, "epochs=3", "hydra.run.dir=cut").code == 0
    resumed = gdframe("resume", "cut", "epochs=5")
    assert resumed.code == 0, resumed.err
    assert gdframe(*words, "epochs=5", "hydra.run.dir=whole").code == 0
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_after_kill_9(gdframe, tmp_path, delay):
    words = ["variant=sgd", "epochs=12", "optimizer=momentum", "lr=0.001", "schedule=cosine"]
    run = start_eager(tmp_path / "cut", *words, "checkpoint.every=0.05s")
    wait_for(lambda: list((tmp_path / "cut").glob("checkpoint/step-*")))
    time.sleep(delay)
    run.kill()
    run.communicate()
    assert not (tmp_path / "cut" / "result.json").exists()
    resumed = gdframe("resume", "cut")
    assert resumed.code == 0, resumed.err
    whole = start_eager(tmp_path / "whole", *words)
    whole.communicate()
    assert_same(tmp_path / "cut", tmp_path / "whole")
    check_events(tmp_path / "cut", tmp_path / "whole")


def check_events(run: Path, expected: Path) -> None:
    """Check that the curves of a resumed run equal those of an uninterrupted run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = []
    for folder in (run, expected):
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


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_again(gdframe, tmp_path):
    run = start_eager(tmp_path / "cut", "variant=sgd", "epochs=3")
    wait_for(lambda: (tmp_path / "cut" / ".hydra" / "config.yaml").exists())
    wait_for(lambda: (tmp_path / "cut" / ".hydra" / "overrides.yaml").exists())
    run.kill()
    run.communicate()
    resumed = gdframe("resume", "cut")
    assert resumed.code == 0, resumed.err
    start_eager(tmp_path / "whole", "variant=sgd", "epochs=3").communicate()
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_after_ctrl_c_within_an_epoch(gdframe, tmp_path):
    words = ["variant=sgd", "data.rows=1200", "epochs=1", "lr=0.001"]
    run = start_eager(tmp_path / "cut", *words, "checkpoint.every=0.02s")
    wait_for(lambda: list((tmp_path / "cut").glob("checkpoint/step-*")))
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert run.returncode == 130
    assert "interrupted: interrupted by Ctrl-C" in out
    assert "Traceback" not in err
    result = json.loads((tmp_path / "cut" / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert 0 < result["steps"] < 960
    resumed = gdframe("resume", "cut")
    assert resumed.code == 0, resumed.err
    start_eager(tmp_path / "whole", *words).communicate()
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_damaged_newest_checkpoint_is_reported(gdframe, tmp_path):
    words = [*SETTINGS, "variant=minibatch", "lr=0.01", "checkpoint.every=1"]
    assert gdframe(*words, "epochs=3", "hydra.run.dir=cut").code == 0
    checkpoints = sorted((tmp_path / "cut" / "checkpoint").iterdir())
    assert len(checkpoints) == 3
    checkpoints[-1].write_bytes(checkpoints[-1].read_bytes()[:-10])
    resumed = gdframe("resume", "cut", "epochs=5")
    assert resumed.code == 0, resumed.err
    assert f"checkpoint {checkpoints[-1].name} is damaged" in resumed.out
    assert gdframe(*words, "epochs=5", "hydra.run.dir=whole").code == 0
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_finished_run_keeps_its_verdict(gdframe, tmp_path):
    assert gdframe(*SETTINGS, "epochs=2", "hydra.run.dir=run").code == 0
    before = json.loads((tmp_path / "run" / "result.json").read_text())
    resumed = gdframe("resume", "run")
    assert resumed.code == 0
    after = json.loads((tmp_path / "run" / "result.json").read_text())
    assert after["reason"] == before["reason"]
    assert "above its minimum" in after["reason"]
    assert after["objective"] == before["objective"]


def test_overrides_that_change_the_run_are_refused(gdframe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gdframe(*SETTINGS, "epochs=2", "hydra.run.dir=run", "schedule=cosine").code == 0
    for arguments, words in (
        (["lr=0.5"], "lr=0.5"),
        (["epochs=many"], "epochs=many"),
        (["epochs=0"], "expected a whole number of at least 1"),
        (["stopping.nothing=1"], "nothing"),
        (["epochs=4"], "schedule.epochs=2"),
        (["rubbish"], "'rubbish'"),
    ):
        assert main(["resume", "run", *arguments]) == 2
        errors = capsys.readouterr().err.splitlines()
        (line,) = (error for error in errors if error.startswith("gdframe: "))
        assert words in line
    assert gdframe("resume", "run", "epochs=4", "schedule.epochs=2").code == 0


LASTING = """
import gdframe as gd
@gd.SCHEDULES.register("lasting")
class Lasting(gd.Schedule):
    uses_run_length = True
    def factor(self, epochs, clock): return 1 - 0.5 * epochs / clock.epochs
"""


def test_no_setting_is_advised_that_a_schedule_does_not_have(gdframe, tmp_path):
    (tmp_path / "mine.py").write_text(LASTING)
    words = ("plugins=[mine.py]", "schedule=lasting", "epochs=2", "hydra.run.dir=run")
    assert gdframe(*SETTINGS, *words).code == 0
    done = gdframe("resume", "run", "epochs=4")
    assert done.code == 2
    assert "start a new run" in done.err
    assert "schedule.epochs" not in done.err


def test_changed_data_are_refused_and_paths_work_from_any_folder(gdframe, tmp_path):
    rows = "".join(f"{i},{2 * i}.5\n" for i in range(40))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    words = ["data=table", "data.path=t.csv", "data.target=y", "epochs=2", "batch_size=8"]
    assert gdframe(*words, "hydra.run.dir=run").code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert gdframe("resume", "../run", "epochs=3", cwd=elsewhere).code == 0
    (tmp_path / "t.csv").write_text("x,y\n" + rows.replace("4.5", "5.5"))
    done = gdframe("resume", "run", "epochs=4")
    assert done.code == 2
    assert "data" in done.err
    assert "Traceback" not in done.err


def test_files_of_other_parts_are_found_again_and_printed(gdframe, tmp_path):
    for name in ("t", "v", "w"):
        rows = "".join(f"{i},{2 * i}.5\n" for i in range(40))
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{rows}")
    words = ["data=table", "data.path=t.csv", "data.validation=v.csv", "data.test=w.csv"]
    done = gdframe(*words, "data.target=y", "lr=0.1", "epochs=2", "hydra.run.dir=run")
    assert done.code == 0, done.err
    notes = json.loads((tmp_path / "run" / "result.json").read_text())["data"]["notes"]
    assert [note for note in notes if "test rows" in note or "validation rows" in note] == notes[
        -2:
    ]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = gdframe("resume", "../run", "epochs=3", cwd=elsewhere)
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if "named by the folder" in line]
    assert [line.split()[1] for line in lines] == [str(tmp_path / f"{n}.csv") for n in "tvw"]


@pytest.mark.parametrize(
    ("source", "number"),
    thinned(product(["path=t.csv", "query='SELECT x, y\n FROM \\'t.csv\\''"], ["1,2", "1"]), 3),
)
def test_the_data_that_a_folder_names_are_printed(gdframe, tmp_path, source, number):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{2 * i}.5\n" for i in range(40)))
    words = ["data=table", f"data.{source}", "data.target=y", "epochs=2", "batch_size=8"]
    folder = ["hydra.run.dir=run"] if number == "1" else ["-m", "sweep.dir=run"]
    assert gdframe(*words, f"seed={number}", *folder).code == 0
    changes = ["epochs=3"] if number == "1" else []
    if not changes:
        (tmp_path / "run" / "1" / "result.json").unlink()
    done = gdframe("resume", "run", *changes)
    assert done.code == 0, done.err
    (line,) = (line for line in done.out.splitlines() if "named by the folder" in line)
    shown = str(tmp_path / "t.csv") if "path" in source else "SELECT x, y FROM 't.csv'"
    assert line == f"data          {shown} (named by the folder)"


def test_fewer_epochs_than_done_are_refused(gdframe):
    assert gdframe(*SETTINGS, "epochs=4", "hydra.run.dir=run").code == 0
    done = gdframe("resume", "run", "epochs=2")
    assert done.code == 2
    assert "4 epochs" in done.err
    assert "epochs=5,6" in gdframe("resume", "run", "epochs=5,6").err


@pytest.mark.parametrize("delay", thinned([1.4, 0.7], 2))
def test_nothing_remains_after_a_signal_during_set_up(tmp_path, delay):
    run = start(tmp_path, "data=digits", "model=mlp")
    time.sleep(delay)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate()
    assert run.returncode in (130, -signal.SIGTERM)  # Python may not have reached gdframe yet
    assert "Traceback" not in err
    paths = list(tmp_path.rglob("*"))
    assert not paths or any(path.name == "result.json" for path in paths)


@pytest.mark.parametrize(
    ("name", "error"), [("SIGINT", "gdframe.UserError"), ("SIGTERM", "OSError")]
)
def test_a_signal_that_code_turns_into_an_error_interrupts(gdframe, tmp_path, name, error):
    (tmp_path / "p.py").write_text(
        "import os, signal, gdframe\n"
        "@gdframe.MODELS.register('cut')\n"
        "class Cut(gdframe.Linear):\n"
        "    def __init__(self):\n"
        "        try:\n"
        f"            os.kill(os.getpid(), signal.{name})\n"
        "            super().__init__()\n"
        "        except BaseException as interrupt:\n"
        f"            raise {error}('a sign of something else') from interrupt\n"
    )
    done = gdframe("plugins=[p.py]", "model=cut")
    assert done.code == 130, done.err
    assert "interrupted" in done.err
    assert "something else" not in done.err


def test_a_run_that_is_training_cannot_be_resumed(gdframe, tmp_path):
    run = start_eager(tmp_path / "busy", "variant=sgd", "epochs=100000", "lr=1e-9")
    try:
        wait_for(lambda: list((tmp_path / "busy").glob("events*")))
        done = gdframe("resume", "busy")
        assert done.code == 2
        assert "busy: another process or thread trains here" in done.err
    finally:
        run.kill()
        run.communicate()


def test_damaged_configs_are_refused(gdframe, tmp_path):
    (tmp_path / "other" / ".hydra").mkdir(parents=True)
    (tmp_path / "other" / ".hydra" / "config.yaml").write_text("lr: [")
    assert "is damaged" in gdframe("resume", "other").err
    (tmp_path / "other" / ".hydra" / "config.yaml").write_text("lr: 1")
    done = gdframe("resume", "other")
    assert done.code == 2
    assert "not a config of gdframe" in done.err
