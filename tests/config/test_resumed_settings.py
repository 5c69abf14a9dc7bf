"""Overrides of a resumed run mean what they mean for a new one."""

from __future__ import annotations

import pytest

import gdframe as gd
from gdframe.config.train_run import resume_run
from gdframe.config.values import plain, read_config

EARLY = ["stopping.early.patience=3", "stopping.early.min_delta=1e9"]


@pytest.fixture
def folder(tmp_path):
    gd.train("epochs=2", "variant=batch", "stopping.patience=7", folder=tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("value", ["early", "[early]"])
def test_a_stopping_rule_is_added(folder, value):
    result = resume_run(folder, ["epochs=40", f"stopping={value}", *EARLY])
    assert "validation loss was best at epoch 2" in result.reason
    stopping = plain(read_config(folder))["stopping"]
    assert stopping["patience"] == 7
    assert stopping["early"]["patience"] == 3


@pytest.mark.parametrize("value", ["csv", "[csv]"])
def test_an_observer_is_added_and_keeps_its_settings(folder, value):
    resume_run(folder, ["epochs=3", f"observer={value}"])
    assert (folder / "history.csv").is_file()
    before = plain(read_config(folder))["observer"]
    resume_run(folder, ["epochs=4", f"observer={value}"])
    assert plain(read_config(folder))["observer"] == before


@pytest.mark.parametrize("override", ["stopping=erly", "observer=[cvs]", "stopping.early.x=3"])
def test_names_that_do_not_exist_are_refused(folder, override):
    before = read_config(folder)
    with pytest.raises(gd.UserError, match=r"there is no such"):
        resume_run(folder, ["epochs=3", override])
    assert read_config(folder) == before


def test_components_are_added_by_a_process_that_has_not_trained(folder, gdframe):
    resumed = gdframe("resume", str(folder), "epochs=3", "observer=csv", "stopping=early", HOME="/")
    assert resumed.code == 0, resumed.err
    assert (folder / "history.csv").is_file()
    assert "early" in plain(read_config(folder))["stopping"]


def test_components_that_return_the_wrong_thing_are_named(tmp_path):
    class ListOnly(gd.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            return [p - hyper["lr"] * g for p, g in zip(params, grads)]

    class Narrow(ListOnly):
        @staticmethod
        def update(params, grads):
            return params, {}

    class Listed(gd.Initializer):
        def draw(self, name, shape, random):
            return [0.0] * shape.numel()

    class Pair(gd.Source):
        def read(self):
            return [[1.0]], [1.0]

    model, data = gd.Linear(3), gd.Regression(rows=40, features=3).load()
    with pytest.raises(gd.UserError, match=r"ListOnly.update: returned a list of 2; expected a"):
        gd.Trainer(
            model, gd.MSE(), ListOnly(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
            engine="eager",
        ).fit()  # fmt: skip
    with pytest.raises(gd.UserError, match=r"expected a staticmethod update\(params, grads"):
        Narrow(model.parameters(), lr=0.1)
    with pytest.raises(gd.UserError, match=r"Listed.draw: returned a list of 3 for parameter"):
        gd.initialize(model, Listed(), seed=0)
    with pytest.raises(gd.UserError, match=r"Pair.read: returned a tuple; expected a"):
        Pair().load()
