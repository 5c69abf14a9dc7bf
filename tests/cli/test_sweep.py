"""``-m``: sweeps, whose runs write the same files as single runs, and their summary."""

from __future__ import annotations

import json
import math
import shlex

import pytest
import torch
from command import summary_rows
from safetensors.torch import load_file

import gdframe as gd
from gdframe.cli.main import main


def summary_of(folder):
    (path,) = folder.rglob("summary.json")
    return json.loads(path.read_text())


def test_a_sweep_writes_run_folders_and_a_summary(gdframe):
    done = gdframe("-m", "variant=batch,sgd,minibatch", "lr=0.001,0.01", "epochs=2")
    assert done.code == 0, done.err
    assert len(done.runs) == 6
    assert "sweep: 6 runs: 6 in 3 " in done.out
    rows = summary_rows(done.folder)
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
    rows = summary_rows(done.folder)
    assert [row["status"] for row in rows] == ["max_epochs", "diverged"]
    assert rows[0]["validation_loss"]
    assert (rows[1]["validation_loss"], rows[1]["metrics.validation.r2"]) == ("", "")
    assert "1 max_epochs, 1 diverged" in done.out


@pytest.mark.slow
def test_invalid_values_are_refused_before_training(gdframe):
    done = gdframe("-m", "lr=0.1,fast")
    assert done.code == 2
    assert "lr=fast: expected a number" in done.err
    done = gdframe("-m", "optimizer=gd,adm")
    assert done.code == 2
    assert "did you mean 'adam'?" in done.err
    done = gdframe("-m", "optimizer=momentum", "optimizer.beta=0.5,2")
    assert done.code == 2
    assert "run 1 (optimizer=momentum optimizer.beta=2): optimizer.beta=2" in done.err
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
    assert [row["lr"] for row in summary_rows(first.folder)] == ["0.01", "0.02", "0.03"]
    assert (first.folder / "mine" / "1" / "result.json").stat().st_mtime_ns == before


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
