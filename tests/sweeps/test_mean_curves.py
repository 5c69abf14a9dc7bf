"""Event files of sweeps: the curves of runs and of means, and how many are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dashboards import scalars

import gdframe as gd
from gdframe.registry import OBSERVERS
from gdframe.sweeps.comparing.comparison import Configuration, Record
from gdframe.sweeps.writing.mean_curves import Curves, _name


@pytest.mark.parametrize("runs", [4, 45])
def test_the_overview_of_a_sweep_has_no_more_runs_than_tensorboard_selects(tmp_path, runs):
    folders = [tmp_path / str(number) for number in range(runs)]
    curves, configurations = Curves(), []
    for folder in folders:
        folder.mkdir()
        epochs = np.arange(3.0)
        curves._histories[str(folder)] = {
            "epochs/epoch": epochs, "epochs/objective": epochs, "steps/step": epochs,
            "steps/loss": epochs, "steps/gradient_norm": epochs,
        }  # fmt: skip
        record = Record({"lr": folder.name}, {"status": "max_epochs"}, str(folder))
        configurations.append(Configuration({"lr": folder.name}, records=[record]))
    curves.write_means(tmp_path, configurations)
    curves.write_overview(tmp_path, {})
    means = sorted(path.name for path in (tmp_path / "mean").iterdir() if path.is_dir())
    assert len(means) == (39 if runs == 45 else 0)  # with the pictures, 40
    assert means == sorted(f"lr={number}" for number in range(len(means)))  # the best


@pytest.mark.parametrize(
    ("which", "whole"), [("all", [0, 1, 2, 3]), ("best", [2, 3]), ("mean", [])]
)
def test_logging_runs_decides_which_curves_of_a_sweep_are_kept(tmp_path, which, whole):
    result = gd.sweep(
        "lr=0.001,0.01", "seed=0,1", "epochs=4", f"logging.runs={which}", folder=tmp_path
    )
    assert result.configurations[0].settings["lr"] == "0.01"
    for number in range(4):
        epochs = [epoch for epoch, _ in scalars(tmp_path / str(number), "objective/train")]
        assert epochs == ([0, 1, 2, 3, 4] if number in whole else [4])
    runs = [scalars(tmp_path / str(number), "objective/train")[-1][1] for number in (2, 3)]
    means = [folder for folder in (tmp_path / "mean").iterdir() if "lr=0.01" in folder.name]
    assert len(means) == 1
    curve = scalars(means[0], "objective/train")
    assert [epoch for epoch, _ in curve] == [0, 1, 2, 3, 4]
    assert curve[-1][1] == pytest.approx(sum(runs) / 2)


def test_the_best_curves_are_kept_for_reused_runs(tmp_path):
    settings = "seed=0,1", "epochs=4", "logging.runs=best", "checkpoint.every=1"
    gd.sweep("lr=0.01", *settings, folder=tmp_path)
    gd.sweep("lr=0.01,0.0001", *settings, "sweep.reuse=true", folder=tmp_path)
    lengths = [len(scalars(tmp_path / str(number), "objective/train")) for number in range(4)]
    assert lengths == [5, 5, 1, 1]


def test_the_best_curves_are_those_of_runs_with_event_files(tmp_path, monkeypatch):
    settings = "seed=0,1", "epochs=4", "logging.runs=best", "checkpoint.every=1", "observer=csv"
    gd.sweep("lr=0.0001", *settings, folder=tmp_path)
    built, build = [], OBSERVERS.configured

    def counted(chosen, **words):
        if words["folder"] != Path():  # else only its settings are checked
            built.append(chosen["name"])
        return build(chosen, **words)

    monkeypatch.setattr(OBSERVERS, "configured", counted)
    without = ("lr=0.01,0.0001", *settings, "logging.tensorboard=false", "sweep.reuse=true")
    gd.sweep(*without, folder=tmp_path)
    assert built == ["csv", "checkpoint"] * 2  # of the two new runs, to train them
    assert not list((tmp_path / "2").glob("events*"))
    gd.sweep("lr=0.0001", *settings, folder=tmp_path / "one")
    assert built[4:].count("csv") == 2  # for the curves of the best, TensorBoard alone is built


@pytest.mark.parametrize("value", ["x" * 200, "字" * 200, "a/b", "a\0b", "\ud800"])
def test_names_of_mean_curves_are_different_and_can_be_made(tmp_path, value):
    settings = {"lr": "0.1", "value": value}
    names = {_name(Configuration(settings | {"last": end})) for end in "ab"}
    assert len(names) == 2
    for name in names:
        (tmp_path / name).mkdir()
    assert _name(Configuration({"lr": "0.1"})) == "lr=0.1"
