"""Optimizers whose constructor changes the learning rate that it is given."""

from __future__ import annotations

import json

import pytest

import gdframe as gd
from gdframe.errors import UserError

PLUGIN = """
import math
import gdframe as gd

@gd.OPTIMIZERS.register("tenth")
class Tenth(gd.GD):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr / 10)

@gd.OPTIMIZERS.register("root")
class Root(gd.GD):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=math.sqrt(lr))

@gd.OPTIMIZERS.register("fixed")
class Fixed(gd.GD):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=0.02)

@gd.OPTIMIZERS.register("coincident")
class Coincident(gd.GD):
    def __init__(self, params):
        super().__init__(params, lr=0.01)

@gd.OPTIMIZERS.register("still")
class Still(gd.GD):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=0.0)
"""


@pytest.fixture(scope="session")  # the plugin is registered once in a process
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("rates") / "rates.py"
    file.write_text(PLUGIN)
    return f"plugins=[{file}]"


@pytest.fixture
def train(plugin, tmp_path):
    words = [plugin, "data=diabetes", "epochs=3"]

    def run(name, *more, folder="run"):
        return gd.train(*words, f"optimizer={name}", *more, folder=tmp_path / folder)

    return run


def test_an_automatic_rate_is_the_rate_that_trains(train, plugin, tmp_path, gdframe):
    plain, scaled = train("gd", folder="plain"), train("tenth")
    assert scaled.lr == pytest.approx(plain.lr)
    assert scaled.objective == pytest.approx(plain.objective, rel=1e-6)
    ends = []
    for name in ("plain", "run"):
        assert gdframe("resume", name, "epochs=5", plugin).code == 0
        ends.append(json.loads((tmp_path / name / "result.json").read_text())["objective"])
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)


def test_runs_of_a_sweep_get_the_rate_that_trains(plugin, tmp_path):
    words = [plugin, "data=diabetes", "epochs=3"]
    sweep = gd.sweep(*words, "optimizer=gd,tenth", folder=tmp_path / "sweep")
    plain, scaled = (row["objective"] for row in sweep.runs)
    assert scaled == pytest.approx(plain, rel=1e-12)


def test_a_rate_in_no_fixed_ratio_is_refused_for_the_search_and_named(train, caplog):
    with pytest.raises(UserError, match=r"lr=auto: .*optimizer=root .* set a number"):
        train("root")
    assert train("root", "lr=0.0004").lr == pytest.approx(0.02)
    assert "optimizer=root: its constructor multiplies lr by 50;" in caplog.text


@pytest.mark.parametrize(("name", "rate"), [("fixed", 0.02), ("coincident", 0.01), ("still", 0.0)])
def test_an_optimizer_that_ignores_lr_trains_at_its_own_rate(train, name, rate):
    result = train(name)
    assert result.lr == rate
    assert result.lr_reason == f"lr=auto has no effect: optimizer={name} sets its rate to {rate:g}"
