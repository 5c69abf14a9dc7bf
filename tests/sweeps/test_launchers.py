"""Hydra's other launchers and sweepers: each worker trains a run group.

The test command does not install Ray. To test it, use
``pip install -c constraints.txt -e '.[ray]'`` and then
``python -m pytest -m slow tests/sweeps/test_launchers.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
import yaml
from command import summary_rows
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from safetensors.torch import load_file
from thinned import thinned

import gdframe as gd
from gdframe.cli.main import main

SETTINGS = ("variant=batch,sgd", "lr=0.01,0.02", "seed=0,1", "epochs=3", "dtype=float64")


def needs(module):
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")


LAUNCHERS = [
    pytest.param("joblib", marks=[needs("joblib"), pytest.mark.slow]),
    pytest.param("submitit_local", marks=[needs("submitit"), pytest.mark.slow]),
    pytest.param("ray", marks=[needs("ray"), pytest.mark.slow]),
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run(
        [sys.executable, "-m", "gdframe", "-m", *SETTINGS, "sweep.dir=sweep"], cwd=folder,
        check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return folder / "sweep"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_workers_train_groups_with_equal_results(gdframe, reference, launcher):
    done = gdframe(
        "-m", f"hydra/launcher={launcher}", "hydra.sweeper.batch=3", *SETTINGS, "sweep.dir=sweep"
    )
    assert done.code == 0, done.err
    folder = done.folder / "sweep"
    groups = [yaml.safe_load(p.read_text()) for p in folder.glob(".batches/*/.hydra/config.yaml")]
    assert sorted(len(group["sweep"]["pack"]) for group in groups) == [2, 2, 2, 2]
    volatile = ("seconds.train", "seconds.setup", "folder")
    for expected, row in zip(summary_rows(reference), summary_rows(folder), strict=True):
        for column, value in expected.items():
            if column not in volatile and not column.startswith("engine"):
                try:
                    assert float(row[column]) == pytest.approx(float(value), rel=1e-9), column
                except ValueError:
                    assert row[column] == value
    for number in range(8):
        expected, model = (
            load_file(f / str(number) / "model.safetensors") for f in (reference, folder)
        )
        for name, value in expected.items():
            torch.testing.assert_close(model[name], value, rtol=1e-9, atol=1e-12)
        names = {path.name[:12] for path in (reference / str(number)).rglob("*")}
        assert names == {path.name[:12] for path in (folder / str(number)).rglob("*")}


@needs("joblib")
@pytest.mark.slow
def test_a_failed_run_in_a_worker_fails_the_sweep(gdframe, bad_rule):
    done = gdframe(
        "-m", "hydra/launcher=joblib", f"plugins=[{bad_rule}]", "optimizer=bad,gd", "epochs=1",
        "sweep.dir=sweep",
    )  # fmt: skip
    assert done.code == 1, done.err
    assert [row["status"] for row in summary_rows(done.folder / "sweep")] == [
        "failed",
        "max_epochs",
    ]


@needs("joblib")
def test_invalid_values_are_refused_before_a_worker_starts(gdframe):
    done = gdframe("-m", "hydra/launcher=joblib", "optimizer=momentum", "optimizer.beta=0.5,2")
    assert done.code == 2
    assert "run 1 (optimizer=momentum optimizer.beta=2): optimizer.beta=2" in done.err
    assert not (done.folder / "outputs").exists()


@needs("optuna")
def test_trials_proposed_together_are_trained_together(gdframe):
    done = gdframe(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=10", "hydra.sweeper.n_jobs=5",
        "hydra/sweeper/sampler=tpe", "hydra.sweeper.sampler.seed=1", "variant=batch", "epochs=5",
        "lr=tag(log,interval(0.001,30))", "sweep.dir=sweep",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out.count("sweep: 5 runs: 5 in 1 ") == 2
    rows = summary_rows(done.folder / "sweep")
    assert len(rows) == 10
    best = yaml.safe_load((done.folder / "sweep" / "optimization_results.yaml").read_text())
    ended = [row for row in rows if row["status"] != "diverged"]
    losses = [float(row["validation_loss"]) for row in ended]
    assert best["best_value"] == pytest.approx(min(losses))
    assert {"diverged", "max_epochs"} <= {row["status"] for row in rows}


@needs("optuna")
@pytest.mark.parametrize("better", thinned([max, min], 2))
def test_optuna_optimises_a_metric_in_its_own_direction(gdframe, better):
    metric = {max: "r2", min: "mae"}[better]
    done = gdframe(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=4",
        "hydra/sweeper/sampler=random", "variant=batch", "epochs=2", "metric=[r2,mae]",
        f"sweep.metric=metrics.validation.{metric}", "lr=interval(0.001,0.2)", "sweep.dir=sweep",
    )  # fmt: skip
    assert done.code == 0, done.err
    values = [float(row[f"metrics.validation.{metric}"]) for row in summary_rows(done.folder)]
    best = yaml.safe_load((done.folder / "sweep" / "optimization_results.yaml").read_text())
    assert best["best_value"] == pytest.approx(better(values))


@needs("optuna")
@needs("joblib")
@pytest.mark.slow
def test_another_sweeper_with_another_launcher_writes_one_sweep(gdframe):
    done = gdframe(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2",
        "hydra/sweeper/sampler=random", "hydra/launcher=joblib", "variant=batch", "epochs=2",
        "lr=interval(0.01,0.1)", "sweep.dir=sweep",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert len(summary_rows(done.folder / "sweep")) == 4
    groups = list((done.folder / "sweep").glob(".batches/*/.hydra/config.yaml"))
    assert len(groups) == 2
    resumed = gdframe("resume", "sweep")
    assert "sweep: 0 runs" in resumed.out


@pytest.mark.parametrize("sweeper", ["gdframe", "basic"])
def test_the_basic_launcher_writes_a_summary_into_the_sweep_folder(gdframe, sweeper):
    done = gdframe(
        "-m", "hydra/launcher=basic", f"hydra/sweeper={sweeper}", "lr=0.01,0.02", "epochs=1",
        "sweep.dir=sweep",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [row["lr"] for row in summary_rows(done.folder / "sweep")] == ["0.01", "0.02"]
    assert len(list(done.folder.rglob("summary.csv"))) == 1


def test_a_sweep_starts_in_a_process_that_has_composed_a_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(Singleton._instances, Plugins, raising=False)
    monkeypatch.delitem(sys.modules, "hydra_plugins.gdframe_launcher", raising=False)
    gd.train("epochs=1", folder="run")  # its config is composed, and Hydra looks for plugins
    assert main(["-m", "lr=0.01,0.02", "epochs=1", "sweep.dir=sweep"]) == 0
    assert len(summary_rows(tmp_path)) == 2


def test_a_missing_extra_is_named(gdframe):
    for choice, extra in (("launcher=ray", "ray"), ("sweeper=optuna", "optuna")):
        if find_spec(extra) is None:
            done = gdframe("-m", f"hydra/{choice}", "lr=0.1,0.2")
            assert done.code == 2
            assert f"pip install 'gdframe[{extra}]'" in done.err
    done = gdframe("-m", "hydra/launcher=gdfram", "lr=0.1,0.2")
    assert done.code == 2
    assert "did you mean 'gdframe'?" in done.err
