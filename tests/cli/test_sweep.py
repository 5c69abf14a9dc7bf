"""``-m``: sweeps, whose runs write the same files as single runs, and their summary."""

from __future__ import annotations

import csv
import json
import math
import os
import resource
import shlex
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

import gdframe as gd
from gdframe.cli.main import main
from gdframe.runs.lock import exclusive


def rows_of(folder):
    (summary,) = folder.rglob("summary.csv")
    with summary.open() as file:
        return list(csv.DictReader(file))


def summary_of(folder):
    (path,) = folder.rglob("summary.json")
    return json.loads(path.read_text())


def start(folder, *arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "gdframe", "-m", *arguments],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was never true"
        time.sleep(0.01)


def test_a_sweep_writes_run_folders_and_a_summary(gdframe):
    done = gdframe("-m", "variant=batch,sgd,minibatch", "lr=0.001,0.01", "epochs=2")
    assert done.code == 0, done.err
    assert len(done.runs) == 6
    assert "sweep: 6 runs: 6 in 3 " in done.out
    rows = rows_of(done.folder)
    assert [(row["variant"], row["lr"]) for row in rows] == [
        (v, lr) for v in ("batch", "sgd", "minibatch") for lr in ("0.001", "0.01")
    ]
    assert list(rows[0])[:3] == ["variant", "lr", "epochs"]
    assert list(rows[0])[-1] == "folder"
    assert all(row["status"] == "max_epochs" for row in rows)
    assert all(math.isfinite(float(row["metrics.validation.r2"])) for row in rows)
    assert [row["folder"].rsplit("/", 1)[1] for row in rows] == list("012345")
    assert "outputs/sweeps" in rows[0]["folder"]


@pytest.mark.parametrize(
    "settings",
    [
        ("variant=sgd", "dtype=float64", "optimizer=momentum", "epochs=6", "penalty=l2"),
        pytest.param(
            (
                "variant=batch",
                "dtype=float64",
                "optimizer=adam",
                "epochs=9",
                "stopping.tolerance=0.01",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("data=iris", "variant=minibatch", "engine=eager", "model=mlp", "epochs=2"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_runs_of_a_sweep_equal_single_runs(gdframe, tmp_path, settings):
    together, alone = tmp_path / "together", tmp_path / "alone"
    together.mkdir()
    alone.mkdir()
    done = gdframe("-m", *settings, "lr=0.01,0.1,1e6", "seed=0,1", cwd=together)
    assert done.code == 0, done.err
    for number, lr, seed in ((1, "0.01", 1), (2, "0.1", 0), (4, "1e6", 0)):
        folder = alone / str(number)
        run = next(together.rglob(f"sweeps/*/*/{number}"))
        if number == 1:  # on the command line
            folder.mkdir()
            single = gdframe(*settings, f"lr={lr}", f"seed={seed}", cwd=folder).run
            names = {path.name.split(".vm")[0][:20] for path in single.rglob("*") if path.is_file()}
            assert names == {p.name.split(".vm")[0][:20] for p in run.rglob("*") if p.is_file()}
        else:
            single = gd.train(*settings, f"lr={lr}", f"seed={seed}", folder=folder).folder
        a, b = (json.loads((path / "result.json").read_text()) for path in (single, run))
        equal_fields = (
            "status",
            "reason",
            "epochs",
            "steps",
            "samples",
            "lr",
            "seed",
            "variant",
            "versions",
        )
        assert [a[key] for key in equal_fields] == [b[key] for key in equal_fields]
        tolerance = 1e-9 if "dtype=float64" in settings else 1e-3
        assert b["objective"] == pytest.approx(a["objective"], rel=tolerance)
        expected, values = (load_file(path / "model.safetensors") for path in (single, run))
        if a["status"] != "diverged":
            for name, value in expected.items():
                torch.testing.assert_close(values[name], value, rtol=tolerance, atol=tolerance)
        log = (run / "gdframe.log").read_text()
        assert "status        " in log
        assert main(["resume", str(run), "epochs=12"]) in (0, 3)


def test_a_diverged_run_does_not_fail_the_sweep(gdframe):
    done = gdframe("-m", "lr=0.01,100", "epochs=2")
    assert done.code == 0, done.err
    assert [row["status"] for row in rows_of(done.folder)] == ["max_epochs", "diverged"]
    assert "1 max_epochs, 1 diverged" in done.out


def test_a_failed_run_fails_the_sweep_and_not_the_other_runs(gdframe, bad_rule):
    done = gdframe("-m", f"plugins=[{bad_rule}]", "optimizer=bad,gd", "seed=0,1", "epochs=1")
    assert done.code == 1
    statuses = [row["status"] for row in rows_of(done.folder)]
    assert statuses == ["failed", "failed", "max_epochs", "max_epochs"]
    assert "run 0 (" in done.out
    assert "out of luck" in done.out
    assert "RuntimeError: out of luck" in (done.runs[0] / "gdframe.log").read_text()


def test_invalid_values_are_refused_before_training(gdframe):
    done = gdframe("-m", "lr=0.1,fast")
    assert done.code == 2
    assert "lr=fast: expected a number" in done.err
    done = gdframe("-m", "optimizer=gd,adm")
    assert done.code == 2
    assert "Did you mean 'adam'?" in done.err
    done = gdframe("-m", "optimizer=momentum", "optimizer.beta=0.5,2")
    assert done.code == 2
    assert "run 1 (optimizer=momentum optimizer.beta=2): beta=2" in done.err
    done = gdframe("-m", "engine=gram", "variant=batch,sgd")
    assert done.code == 2
    assert "run 1" in done.err
    done = gdframe("-m", "lr=range(0,0)")
    assert done.code == 2
    assert "the sweep is empty" in done.err
    done = gdframe("-m", "lr=0.1,0.2", "sweep.metric=los")
    assert done.code == 2
    assert "sweep.metric=los: " in done.err
    assert not list(done.folder.rglob("*.json"))
    assert not (done.folder / "outputs").exists()


def test_sweeps_of_one_run_and_of_equal_runs(gdframe):
    done = gdframe("-m", "epochs=1")
    assert done.code == 0, done.err
    assert "sweep: 1 run: 1 " in done.out
    done = gdframe("-m", "seed=0,0", "epochs=1", "sweep.dir=twice")
    assert done.code == 0, done.err
    (configuration,) = summary_of(done.folder / "twice")["configurations"]
    assert configuration["runs"] == 2
    assert len(configuration["values"]) == 1


def test_runs_can_be_added_to_a_finished_sweep(gdframe):
    first = gdframe("-m", "lr=0.01,0.02", "epochs=2", "sweep.dir=mine")
    assert first.code == 0, first.err
    refused = gdframe("-m", "lr=0.03", "epochs=2", "sweep.dir=mine")
    assert refused.code == 2
    assert "sweep.reuse=true" in refused.err
    before = (first.folder / "mine" / "1" / "result.json").stat().st_mtime_ns
    second = gdframe("-m", "lr=0.02,0.03", "epochs=2", "sweep.dir=mine", "sweep.reuse=true")
    assert second.code == 0, second.err
    assert "sweep: 1 run: 1 " in second.out
    assert "1 trained before" in second.out
    assert [row["lr"] for row in rows_of(first.folder)] == ["0.01", "0.02", "0.03"]
    assert (first.folder / "mine" / "1" / "result.json").stat().st_mtime_ns == before


def test_a_locked_sweep_is_not_changed(tmp_path, capsys):
    gd.sweep("lr=0.01,0.02", "epochs=1", folder=tmp_path)
    (tmp_path / "summary.csv").unlink()
    with exclusive(tmp_path):
        assert main(["resume", str(tmp_path)]) == 2
        assert main(["resume", str(tmp_path / "0"), "epochs=2"]) == 2
    assert "another process trains here" in capsys.readouterr().err
    assert not (tmp_path / "summary.csv").exists()
    with exclusive(tmp_path, shared=True):  # as another resumed run of the sweep
        assert main(["resume", str(tmp_path / "0"), "epochs=2"]) == 0


ODD = """
import torch
from gdframe import OPTIMIZERS, GD

@OPTIMIZERS.register("odd")
class Odd(GD):
    def __init__(self, params, lr, *, gain: float = 1.0):
        if gain > 5: raise ValueError("gain is above 5")
        super().__init__(params, lr)
        self.defaults["gain"] = gain
        self.param_groups[0]["gain"] = gain

    @staticmethod
    def init_state(params):
        raise RuntimeError("no state today")
"""


def test_a_component_that_raises_in_its_constructor_fails_only_its_runs(gdframe, tmp_path):
    (tmp_path / "odd.py").write_text(ODD)
    done = gdframe("-m", "plugins=[odd.py]", "optimizer=odd,gd", "seed=0,1", "epochs=1")
    assert done.code == 1, done.err
    statuses = [row["status"] for row in rows_of(done.folder)]
    assert statuses == ["failed", "failed", "max_epochs", "max_epochs"]
    assert "no state today" in rows_of(done.folder)[0]["reason"]
    refused = gdframe("-m", "plugins=[odd.py]", "optimizer=odd", "optimizer.gain=1,6")
    assert refused.code == 2
    assert "optimizer=odd optimizer.gain=6): optimizer=odd: gain is above 5" in refused.err


PICKY = """
import torch
from gdframe import GD, OPTIMIZERS, PENALTIES, L2

@OPTIMIZERS.register("picky")
class Picky(GD):
    def __init__(self, params, lr):
        super().__init__(params, lr)

    @staticmethod
    def update(params, grads, state, hyper):
        if hyper["lr"] > 0.5:
            raise KeyError("that rate")
        return [p - hyper["lr"] * g for p, g in zip(params, grads)], state

@PENALTIES.register("remote")
class Remote(L2):
    def __init__(self, *, strength: float = 0.0):
        super().__init__(strength=strength)

    def value(self, params):
        if self.strength > 0.5:
            raise ConnectionError("server unreachable")
        return super().value(params)
"""


@pytest.mark.parametrize(
    ("overrides", "last", "reason"),
    [(["optimizer=picky", "lr=0.01,0.02,0.6"], "lr=0.6", "KeyError: 'that rate'"),
     (["penalty=remote", "penalty.strength=0.1,0.2,0.9"], "penalty.strength=0.9",
      "ConnectionError: server unreachable")],
)  # fmt: skip
def test_a_component_that_raises_in_its_first_step_fails_only_its_runs(
    gdframe, tmp_path, overrides, last, reason
):
    """An OSError of a component is not a full disk, and diagnostics do not raise it again."""
    (tmp_path / "picky.py").write_text(PICKY)
    done = gdframe("-m", "plugins=[picky.py]", *overrides, "seed=0,1", "epochs=2", "engine=eager")
    assert done.code == 1, done.err
    rows = rows_of(done.folder)
    assert [row["status"] for row in rows] == ["max_epochs"] * 4 + ["failed"] * 2
    assert rows[4]["reason"] == reason
    assert "Traceback" not in done.err
    single = gdframe("plugins=[picky.py]", overrides[0], last, "engine=eager", "epochs=2")
    assert single.code == 1
    assert reason in single.err


def test_an_engine_that_cannot_execute_a_run_is_refused_before_training(gdframe, tmp_path):
    (tmp_path / "t.csv").write_text("y,a,b\n" + "".join(f"{i},{i},{i}.000001\n" for i in range(9)))
    done = gdframe(
        "-m", "data=table", "data.path=t.csv", "data.target=y", "data.standardize=false",
        "variant=batch", "engine=eager,gram", "model=polynomial", "model.degree=9", "epochs=2",
    )  # fmt: skip
    assert done.code == 2, done.out
    assert "engine=gram" in done.err
    assert not (done.folder / "outputs").exists()


def test_the_command_of_the_best_run_names_the_config_folder(gdframe, tmp_path):
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    (tmp_path / "my/experiment/short.yaml").write_text("# @package _global_\nepochs: 2\n")
    done = gdframe("--config-dir", "my", "-m", "experiment=short", "lr=0.01,0.02")
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("best")]
    words = shlex.split(line.partition("gdframe ")[2])
    assert words[0] == "--config-dir"
    assert gdframe(*words, "hydra.run.dir=again").code == 0


LONG = (
    "data=regression", "data.rows=2000", "engine=eager", "epochs=30", "stopping.tolerance=null",
    "checkpoint.every=1", "sweep.dir=long",
)  # fmt: skip


def test_a_killed_and_resumed_sweep_equals_an_uninterrupted_one(gdframe, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    done = gdframe("-m", *LONG, "lr=0.001,0.002", "variant=minibatch,batch", cwd=whole)
    assert done.code == 0, done.err
    run = start(tmp_path, *LONG, "lr=0.001,0.002", "variant=minibatch,batch")
    wait_for(lambda: list(tmp_path.glob("long/0/checkpoint/step-*")))
    run.kill()
    run.communicate()
    before = len(list(tmp_path.glob("long/*/result.json")))
    assert before < 4
    resumed = gdframe("resume", "long")
    assert resumed.code == 0, resumed.err
    rows = rows_of(tmp_path / "long")
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
    run = start(tmp_path, *LONG, "lr=0.001,0.002", "variant=minibatch,batch")
    wait_for(lambda: list(tmp_path.glob("long/0/checkpoint/step-*")))
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert "2 interrupted" in out
    rows = rows_of(tmp_path)
    assert [row["status"] for row in rows].count("interrupted") == 2
    assert len(rows) == 4  # two have not started
    resumed = gdframe("resume", "long")
    assert resumed.code == 0, resumed.err
    assert {row["status"] for row in rows_of(tmp_path)} == {"max_epochs"}


def test_two_sweeps_in_one_second_have_different_folders(tmp_path):
    sweeps = [start(tmp_path, "lr=0.01,0.02", "epochs=1") for _ in range(2)]
    for sweep in sweeps:
        sweep.communicate(timeout=60)
        assert sweep.returncode == 0
    assert len(list(tmp_path.glob("outputs/sweeps/*/*/summary.csv"))) == 2


def test_a_full_disk_ends_the_sweep_with_one_message(tmp_path, gdframe):
    limit = 40_000  # bytes of a file: the event file becomes larger
    run = start(
        tmp_path, "data=regression", "variant=sgd", "lr=0.001,0.002", "epochs=3", "sweep.dir=full",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "Traceback" not in err
    assert "free some space, then resume with python -m gdframe resume full" in err
    resumed = gdframe("resume", "full")
    assert resumed.code == 0, resumed.err
    assert {row["status"] for row in rows_of(tmp_path)} <= {"max_epochs", "converged"}
