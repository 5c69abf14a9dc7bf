"""Runs that are not what the sweep asks for stay excluded until they are trained again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

TRAINED = ("result.json", "model.safetensors", "checkpoint")
PLUGIN = """
import gdframe as gd
@gd.OPTIMIZERS.register("signs")
class Signs(gd.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {{"lr": lr}})
    @staticmethod
    def update(params, grads, state, hyper):
        return [p - {factor} * hyper["lr"] * g.sign() for p, g in zip(params, grads)], state
"""


def write_table(path, slope):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((60, 2))
    rows = np.column_stack([x, x @ [2.0, slope] + 0.1 * draw.standard_normal(60)])
    np.savetxt(path, rows, delimiter=",", header="a,b,y", comments="", fmt="%.5f")


def forget(sweep, *numbers):
    """Leave of some runs what a killed sweep leaves of those that it has not trained."""
    for number in numbers:
        for name in TRAINED:
            path = sweep / str(number) / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def summary(sweep):
    return json.loads((sweep / "summary.json").read_text())


@pytest.fixture
def sweep(gdframe, tmp_path):
    write_table(tmp_path / "t.csv", -1.0)
    done = gdframe(
        "-m", "data=table", "data.path=t.csv", "data.target=y", "variant=batch", "epochs=6",
        "lr=0.05,0.1", "seed=0,1", "sweep.dir=s", "observer=csv",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "s"


def test_runs_on_earlier_data_stay_excluded(gdframe, sweep, tmp_path):
    forget(sweep, 2, 3)
    write_table(tmp_path / "t.csv", 30.0)
    first = gdframe("resume", "s")
    assert "data have changed since 2 runs ended" in first.out
    assert "excluded: runs 0, 1" in first.out
    pages = []
    for words in (["resume", "s"], ["watch", "s"], ["report", "s"], ["resume", "s"]):
        done = gdframe(*words)
        assert done.code == 0, done.err
        pages.append(done.out)
    assert "excluded: runs 0, 1" in pages[0]
    assert "mean of 2 seeds (run 2)" in pages[1]
    for number in (0, 1):
        shutil.rmtree(sweep / str(number))
    again = gdframe("resume", "s")
    assert again.code == 0, again.err
    assert "excluded" not in again.out
    assert len({json.loads((sweep / f"{n}/result.json").read_text())["data_digest"]
                for n in range(4)}) == 1  # fmt: skip


@pytest.mark.parametrize(("source", "target"), [(0, 2), (0, 1), (3, 0)])
def test_a_result_of_another_run_is_excluded(gdframe, sweep, source, target):
    shutil.copy(sweep / str(source) / "result.json", sweep / str(target) / "result.json")
    done = gdframe("resume", "s")
    assert done.code == 0, done.err
    assert f"excluded: run {target}" in done.out


def test_a_resumed_sweep_excludes_nothing_without_a_reason(gdframe, sweep):
    for _ in range(2):
        done = gdframe("resume", "s")
        assert done.code == 0, done.err
        assert "excluded" not in done.out


def test_a_changed_plugin_is_told(gdframe, tmp_path):
    (tmp_path / "p.py").write_text(PLUGIN.format(factor=1))
    words = ("plugins=[p.py]", "optimizer=signs", "variant=batch", "epochs=3", "lr=0.5,1.0")
    assert gdframe("-m", *words, "sweep.dir=s").code == 0
    forget(tmp_path / "s", 1)
    (tmp_path / "p.py").write_text(PLUGIN.format(factor=0.001))
    done = gdframe("resume", "s", "plugins=[p.py]")
    assert done.code == 0, done.err
    assert "p.py has changed since 1 run ended" in done.out
    done = gdframe("-m", *words, "sweep.dir=s", "sweep.reuse=true", "seed=0")
    assert "has changed" not in done.out  # sweep.json knows the new text
