"""Other launchers and sweepers of Hydra's family: workers elsewhere, each training a batch.

Ray is not among what the test command installs: ``pip install -c constraints.txt -e '.[ray]'``
and then ``python -m pytest -m slow tests/sweeps/test_launchers.py``.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
import yaml
from safetensors.torch import load_file

SETTINGS = ("variant=batch,sgd", "lr=0.01,0.02", "seed=0,1", "epochs=3", "dtype=float64")


def needs(module):
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")


LAUNCHERS = [
    pytest.param("joblib", marks=needs("joblib")),
    pytest.param("submitit_local", marks=needs("submitit")),
    pytest.param("ray", marks=[needs("ray"), pytest.mark.slow]),
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run(
        [sys.executable, "-m", "gdframe", "-m", *SETTINGS, "sweep.dir=own"], cwd=folder, check=True,
        capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return folder / "own"


def rows_of(folder):
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_workers_train_batches_and_leave_the_same(gdframe, reference, launcher):
    done = gdframe(
        "-m", f"hydra/launcher={launcher}", "hydra.sweeper.batch=3", *SETTINGS, "sweep.dir=there"
    )
    assert done.code == 0, done.err
    folder = done.folder / "there"
    batches = [yaml.safe_load(p.read_text()) for p in folder.glob(".batches/*/.hydra/config.yaml")]
    assert sorted(len(b["sweep"]["pack"]) for b in batches) == [2, 2, 2, 2]
    volatile = ("seconds.train", "seconds.setup", "folder")
    for own, its in zip(rows_of(reference), rows_of(folder), strict=True):
        for column, value in own.items():
            if column not in volatile and not column.startswith("engine"):
                try:
                    assert float(its[column]) == pytest.approx(float(value), rel=1e-9), column
                except ValueError:
                    assert its[column] == value
    for number in range(8):
        one, other = (load_file(f / str(number) / "model.safetensors") for f in (reference, folder))
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, rtol=1e-9, atol=1e-12)
        names = {path.name[:12] for path in (reference / str(number)).rglob("*")}
        assert names == {path.name[:12] for path in (folder / str(number)).rglob("*")}


@needs("joblib")
def test_a_failed_run_elsewhere_fails_the_sweep(gdframe, bad_rule):
    done = gdframe(
        "-m", "hydra/launcher=joblib", f"plugins=[{bad_rule}]", "optimizer=bad,gd", "epochs=1",
        "sweep.dir=there",
    )  # fmt: skip
    assert done.code == 1, done.err
    assert [row["status"] for row in rows_of(done.folder / "there")] == ["failed", "max_epochs"]


@needs("joblib")
def test_wrong_values_are_refused_before_a_worker_starts(gdframe):
    done = gdframe("-m", "hydra/launcher=joblib", "optimizer=momentum", "optimizer.beta=0.5,2")
    assert done.code == 2
    assert "run 1 (optimizer=momentum optimizer.beta=2): beta=2" in done.err
    assert not (done.folder / "outputs").exists()


@needs("optuna")
def test_trials_proposed_together_are_trained_together(gdframe):
    done = gdframe(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=10", "hydra.sweeper.n_jobs=5",
        "hydra/sweeper/sampler=tpe", "hydra.sweeper.sampler.seed=1", "variant=batch", "epochs=5",
        "lr=tag(log,interval(0.001,30))", "sweep.dir=there",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out.count("sweep: 5 runs: 5 in 1 batch") == 2
    rows = rows_of(done.folder / "there")
    assert len(rows) == 10
    best = yaml.safe_load((done.folder / "there" / "optimization_results.yaml").read_text())
    ended = [row for row in rows if row["status"] != "diverged"]
    losses = [float(row["validation_loss"]) for row in ended]
    assert best["best_value"] == pytest.approx(min(losses))
    assert {"diverged", "max_epochs"} <= {row["status"] for row in rows}


@needs("optuna")
@needs("joblib")
def test_a_sweeper_and_a_launcher_of_others_leave_one_sweep(gdframe):
    done = gdframe(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2",
        "hydra/sweeper/sampler=random", "hydra/launcher=joblib", "variant=batch", "epochs=2",
        "lr=interval(0.01,0.1)", "sweep.dir=there",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert len(rows_of(done.folder / "there")) == 4
    batches = [p.read_text() for p in (done.folder / "there").glob(".batches/*/.hydra/config.yaml")]
    assert len(batches) == 2
    resumed = gdframe("resume", "there")
    assert "sweep: 0 runs: none, 4 trained before" in resumed.out


@pytest.mark.parametrize("sweeper", ["gdframe", "basic"])
def test_the_basic_launcher_leaves_a_summary_in_the_sweep(gdframe, sweeper):
    done = gdframe(
        "-m", "hydra/launcher=basic", f"hydra/sweeper={sweeper}", "lr=0.01,0.02", "epochs=1",
        "sweep.dir=there",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [row["lr"] for row in rows_of(done.folder / "there")] == ["0.01", "0.02"]
    assert len(list(done.folder.rglob("summary.csv"))) == 1


def test_an_extra_that_is_missing_is_named(gdframe):
    for choice, extra in (("launcher=ray", "ray"), ("sweeper=optuna", "optuna")):
        if find_spec(extra) is None:
            done = gdframe("-m", f"hydra/{choice}", "lr=0.1,0.2")
            assert done.code == 2
            assert f"pip install 'gdframe[{extra}]'" in done.err
    done = gdframe("-m", "hydra/launcher=gdfram", "lr=0.1,0.2")
    assert done.code == 2
    assert "Did you mean 'gdframe'?" in done.err
