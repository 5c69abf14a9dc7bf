"""Invalid input on the command line: exit code 2, one message, nothing written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
from thinned import thinned

from gdframe.cli.main import main

CSV = "x,c,y\n1,a,0.5\n2,b,1.5\n3,a,2.5\n4,b,3.5\n5,a,4.5\n"
TABLE = ["data=table", "data.path=t.csv", "data.target=y"]

HUGE = "1" + "0" * 400
"""A whole number that is no floating-point number."""

COUNTS = (
    "epochs", "seed", "batch_size", "lr", "data.seed", "logging.max_points", "stopping.patience",
    "optimizer.clip_norm", "checkpoint.keep", "checkpoint.every", "stopping.target",
)  # fmt: skip

CASES: list[tuple[list[str], str]] = [
    (["optimizer=adm"], "optimizer=adm: there is no such optimizer; did you mean 'adam'?"),
    (["loss=mean_squared"], "loss=mean_squared: there is no such loss"),
    (["variant=stochastic"], "choose from batch, minibatch, sgd"),
    (["data=diabetis"], "did you mean 'diabetes'?"),
    (["experiment=nothing"], "experiment=nothing: there is no such experiment"),
    (["learning_rate=1"], "learning_rate: there is no such key"),
    (["epoch=1"], "did you mean 'epochs'?"),
    (
        ["optimizer=momentum", "optimizer.bta=1"],
        "there is no such key of optimizer=momentum; did you mean 'beta'?",
    ),
    (["optimizer.lr=1"], "did you mean 'lr', without 'optimizer.'?"),
    (["stopping.tolrance=1"], "did you mean 'tolerance'?"),
    (["+extra=1"], "extra: there is no such key"),
    (["+optimizer.extra=1"], "optimizer.extra: there is no such key"),
    (["~lr"], "lr has no value"),
    *(
        ([f"~{key}"], f"{key} has no value")
        for key in ("stopping.tolerance", "stopping.patience", "checkpoint.every", "logging.runs")
    ),
    (["lr="], "lr=: expected a number"),
    (["lr=fast"], "lr=fast: expected a number above 0, or auto"),
    (["lr=automatic"], "lr=automatic: expected a number above 0, or auto"),
    (["lr=true"], "lr=true: expected a number above 0, or auto"),
    (["lr=[0.1]"], "lr=[0.1]: expected a number above 0, or auto"),
    (["lr=1..5"], "add -m and write 'lr=range(1,6)'"),
    (["-m", "lr=auto,fast"], "lr=fast: expected a number above 0, or auto"),
    (["-m", "lr=auto", "model=linear,mlp", "loss=hinge"], "run 0"),
    (["lr=nan"], "expected a finite number above 0"),
    (["lr=inf"], "expected a finite number above 0"),
    (["lr=-1"], "expected a finite number above 0"),
    (["lr=0"], "expected a finite number above 0"),
    (["epochs=0"], "epochs=0: expected a whole number of at least 1"),
    (["epochs=1.5"], "expected a whole number"),
    (["epochs=-3"], "expected a whole number of at least 1"),
    (["batch_size=0"], "expected a whole number of at least 1"),
    (["batch_size=1000"], "more than the 354 training rows"),
    (["seed=-1"], "seed=-1"),
    (["dtype=float16"], "expected float32 or float64"),
    (["device=gpu"], "expected auto, cpu, cuda or cuda:N"),
    (
        ["optimizer=momentum", "optimizer.beta=2"],
        "beta=2: expected a number of at least 0 and below 1",
    ),
    (["optimizer=momentum", "optimizer.beta=high"], "optimizer.beta=high: expected a number"),
    (["model=mlp", "model.hidden=3"], "expected a list"),
    (["model=mlp", "model.hidden=[0]"], "model.hidden=[0]: expected widths of at least 1"),
    (["model=mlp", "model.activation=sin"], "one of 'relu', 'tanh'"),
    (["model=cnn"], "square"),
    (["schedule=warmup", "schedule.then=none"], "schedule.then=none: there is no such schedule"),
    (["initializer=xavier", "model=rosenbrock"], "initializer=normal"),
    (["data.validation=1"], "data.validation=1"),
    (["data=iris", "loss=mse"], "loss MSE is for regression"),
    (["loss=cross_entropy"], "loss CrossEntropy is for classification"),
    (["data=iris", "loss=hinge"], "two classes"),
    (["data=regression", "loss=poisson"], "Poisson is for counts"),
    (["data=regression", "data.rows=0"], "data.rows=0: expected a whole number of at least 1"),
    (["data=table"], "needs data.target=..."),
    (["data=table", "data.path=none.csv", "data.target=y"], "none.csv does not exist"),
    (["data=table", "data.target=y"], "needs data.path=... or data.query=..."),
    (["data=table", "data.path=.", "data.target=y"], "has no rows"),
    (["data=table", "data.path=empty.csv", "data.target=y"], "has no rows"),
    (["data=table", "data.path=header.csv", "data.target=y"], "has no rows"),
    (
        ["data=table", "data.path=t.csv", "data.target=z"],
        "t.csv: there is no such column; choose from x, c, y",
    ),
    (
        [*TABLE, "data.features=[x,w]"],
        "t.csv: there is no such column; choose from x, c, y",
    ),
    (
        ["data=table", "data.path=holes.csv", "data.target=y", "data.missing=error"],
        "column 'x' has 1 missing value,",
    ),
    (["data=table", "data.path=inf.csv", "data.target=y"], "column 'x' has 1 infinite value,"),
    (["data=table", "data.path=text.csv", "data.target=y"], "has text in 1 of 5 rows"),
    (["data=table", "data.path=one.csv", "data.target=y"], "one class only"),
    ([*TABLE, "data.missing=zero"], "one of 'error', 'mean', 'drop'"),
    (["stopping.patience=0"], "stopping.patience=0"),
    (["stopping.patience=long"], "patience=long: expected a whole number"),
    (["checkpoint.every=often"], "checkpoint.every=often"),
    (["checkpoint.keep=0"], "checkpoint.keep=0"),
    (["logging.max_points=0"], "logging.max_points=0"),
    (["logging.progress=maybe"], "expected true or false"),
    (["hydra.run.dir=file/below"], "cannot"),
    (["lr=[1"], "cannot read 'lr=[1'"),
    ([""], "there is no such verb"),
    (["trian"], "there is no such verb"),
    (["lsit"], "did you mean 'list'?"),
    (["data=table", "data.path='~nosuchuser/t.csv'", "data.target=y"], "not the path of a file"),
    (["data=table", "data.path=loop.csv", "data.target=y"], "loop.csv"),
    (["plugins=['~nosuchuser/x.py']"], "not the path of a file"),
    (["plugins=[loop.py]"], "loop.py"),
    (["resume", "loop.py"], "loop.py"),
    (["report", "loop.py"], "loop.py"),
    (["hydra.run.dir=loop.py"], "cannot write to"),
    (["hydra.run.dir=new/../b", "~data.test=1e3"], "cannot be deleted"),
    (["sweep.pack=[1]"], "a sweep gives it to its workers"),
    (["--experimental-rerun=config.pickle"], "may run code"),
    (["hydra.searchpath=[x]"], "'x' is not a folder with configs"),
    (["hydra.job_logging.handlers=null"], "Python refuses them"),
    (["list", "optimisers"], "did you mean 'optimizer'?"),
    (["list", "lr=1"], "not 'lr=1'"),
    *(([f"{key}={HUGE[:300]}"], "whole number") for key in COUNTS if key != "lr"),
    *(([f"{key}={HUGE}"], "expected numbers of at most 308 digits") for key in COUNTS),
    (["-m", f"seed=range(0,{HUGE})"], "expected numbers of at most 308 digits"),
    (["-m", f"seed=range(-{HUGE[:308]},{HUGE[:308]})"], "a sweep of 2e+307 runs"),
    (["-m", f"seed=range(-{'9' * 308},{'9' * 308})"], "a sweep of inf runs"),
    (["-m", f"seed=range(0,{HUGE[:308]},0.5)"], "a sweep of 2e+307 runs"),
    (["-m", f"epochs=1,{HUGE[:300]}"], "expected a whole number of at least 1 and at most 2^53"),
    (["lr-range", "--points", HUGE], "at least 3 and at most 2^53"),
    (["lr-range", "--steps", HUGE], "at least 2 and at most 2^53"),
    (["lr-range", "--points", "1" + "0" * 160], "at least 3 and at most 2^53"),
    (["landscape", "run", "--points", "1" + "0" * 160], "at least 2 and at most 2^53"),
    (["landscape", "run", "--rows", HUGE], "at least 1 and at most 2^53"),
    (["watch", ".", "--every", "1e300"], "at most 86,400"),
    (["epochs=100000000000000000"], "epochs=100000000000000000: expected a whole number"),
    (["data.seed=9223372036854775808"], "data.seed: expected whole numbers below 2^63"),
    (["optimizer.clip_norm=100000000000000000000"], "write a larger number as 1e20"),
    ([*TABLE[:2], f"data.target={'${variant}' * 17}"], "17 interpolations, more than 16"),
    (["resume"], "required: run"),
    (["resume", "nowhere"], "does not exist"),
    (["resume", "."], "is not a run folder"),
    (["predict", "nowhere", "t.csv"], "does not exist"),
    (["predict", "."], "required: data"),
]


@pytest.fixture
def files(tmp_path):
    texts = {
        "t.csv": CSV,
        "empty.csv": "",
        "header.csv": "x,y\n",
        "holes.csv": CSV.replace("2,b", ",b"),
        "inf.csv": CSV.replace("2,b", "inf,b"),
        "text.csv": CSV.replace("2,b", "two,b"),
        "one.csv": "x,y\n1,a\n2,a\n",
        "file": "not a folder",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    loops = ["loop.csv", "loop.py"]
    for name in loops:
        (tmp_path / name).symlink_to(name)
    return sorted([*texts, *loops])


@pytest.mark.parametrize(
    ("arguments", "words"), thinned(CASES, 7), ids=[" ".join(c[0]) for c in CASES]
)
def test_invalid_input(gdframe, files, tmp_path, arguments, words):
    done = gdframe(*arguments)
    assert done.code == 2, done.out + done.err
    assert words in done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("gdframe: ")
    assert done.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == files


OF_RUNS = [c for c in CASES if all("=" in w and w[0] != "h" and "$" not in w for w in c[0])]
"""Mistakes in the settings of a run, which a sweep may have too."""


@pytest.mark.parametrize(
    ("arguments", "words"), thinned(OF_RUNS, 9), ids=[" ".join(c[0]) for c in OF_RUNS]
)
def test_invalid_input_of_a_sweep_leaves_nothing(gdframe, files, tmp_path, arguments, words):
    number = ["lr=0.1,0.2"] if any("seed" in word for word in arguments) else ["seed=1,2"]
    done = gdframe("-m", *arguments, *number)
    assert done.code == 2, done.out + done.err
    assert done.err.count("\n") == 1
    assert words in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_cuda_without_a_device(gdframe):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = gdframe("device=cuda")
    assert done.code == 2
    assert "PyTorch finds no CUDA device here; use device=cpu" in done.err


def test_debug_shows_the_traceback(gdframe):
    done = gdframe("lr=nan", "debug=true")
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.rstrip().endswith("expected a finite number above 0, or auto")


def test_unknown_flags(gdframe):
    done = gdframe("--optimizer", "adam")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "optimizer=adam" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_an_unwritable_folder_of_another_user(gdframe, tmp_path):
    tmp_path.chmod(0o500)
    try:
        done = gdframe("epochs=1")
        assert done.code == 2
        assert "cannot write to" in done.err
    finally:
        tmp_path.chmod(0o700)


def test_an_output_folder_that_is_a_file(gdframe, tmp_path):
    (tmp_path / "outputs").write_text("in the way")
    done = gdframe("epochs=1")
    assert done.code == 2
    assert "cannot write to outputs" in done.err
    assert done.err.count("\n") == 1


def limited(folder, limit: int):
    """Train with a limit on file sizes, so that writes fail as on a full disk."""
    command = [sys.executable, "-m", "gdframe", "epochs=30", "stopping.tolerance=null"]
    return subprocess.run(
        [*command, "hydra.run.dir=run", "checkpoint.every=1"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.slow
def test_nothing_remains_if_the_disk_is_full_from_the_start(tmp_path):
    done = limited(tmp_path, 2_000)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert "free some space" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_can_be_resumed_after_the_disk_was_full(gdframe, tmp_path):
    done = limited(tmp_path, 6_000)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert "free some space, then resume with python -m gdframe resume" in done.stderr
    assert not list(tmp_path.rglob("*.tmp"))
    resumed = gdframe("resume", "run")
    assert resumed.code == 0, resumed.err
    whole = gdframe("epochs=30", "stopping.tolerance=null", "hydra.run.dir=whole")
    assert whole.code == 0
    model = "model.safetensors"
    from safetensors.torch import load_file

    values, expected = load_file(tmp_path / "run" / model), load_file(tmp_path / "whole" / model)
    assert all((values[name] == expected[name]).all() for name in expected)


def test_a_run_folder_is_not_overwritten(gdframe, tmp_path):
    assert gdframe("epochs=1", "hydra.run.dir=run").code == 0
    before = (tmp_path / "run" / "result.json").read_text()
    done = gdframe("epochs=2", "hydra.run.dir=run")
    assert done.code == 2
    assert "already holds a run" in done.err
    assert (tmp_path / "run" / "result.json").read_text() == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("schedule=null", "schedule=null: expected a name"),
        ("~schedule", "schedule has no value: set schedule=NAME"),
        ("lr=0.1,0.2", "lr=0.1,0.2: gives several values; add -m"),
        ("seed=range(3)", "seed=range(3): gives several values; add -m"),
        ("sweep.metric=objective,steps", "expected one value for the whole sweep"),
        ("sweep.reuse=true", "sweep.reuse=true adds to a sweep: name its folder with sweep.dir="),
    ],
)
def test_an_override_without_a_value_or_with_several(
    override, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main([override]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
