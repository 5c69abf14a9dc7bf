"""The learning-rate range test: its rates are runs of their own, its limits are those of theory."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gdframe as gd
from gdframe.diagnostics.rates import RangeTest


def test_each_rate_ends_where_a_run_with_it_ends(tmp_path):
    words = ("data=breast_cancer", "variant=minibatch", "dtype=float64", "engine=eager")
    found, folder = gd.lr_range(
        *words, low=0.01, high=1.0, points=3, steps=30, folder=tmp_path / "r"
    )
    per_epoch = -(-456 // 32)
    assert found.rates == pytest.approx([0.01, 0.1, 1.0])
    for rate, value in zip(found.rates, found.values):
        run = gd.train(*words, f"lr={rate}", "epochs=2", folder=tmp_path / f"{rate}")
        assert run.steps == 2 * per_epoch == 30
        assert value == pytest.approx(run.objective, rel=1e-12)
    assert sorted(path.name for path in folder.iterdir() if "events" not in path.name) == [
        "lr_range.json", "lr_range.png",
    ]  # fmt: skip


def test_it_explodes_where_theory_says(tmp_path):
    found, _ = gd.lr_range("variant=batch", "stopping.tolerance=null", steps=400, points=120,
                           folder=tmp_path)  # fmt: skip
    assert found.limit == pytest.approx(0.243977, rel=1e-4)
    ratio = found.rates[1] / found.rates[0]
    assert found.limit < found.too_large < found.limit * ratio**2
    rate, reason = found.suggestion
    assert rate < found.limit
    assert "explodes" in reason or "lowest" in reason


def test_the_command_says_writes_and_leaves_no_run(gdframe):
    done = gdframe("lr-range", "variant=sgd", "--steps", "50", "--output", "out")
    assert done.code == 0, done.err
    assert done.out.startswith("suggestion    lr=")
    content = json.loads((done.folder / "out" / "lr_range.json").read_text())
    assert content["steps"] == 50
    assert len(content["rates"]) == len(content["values"]) == 40
    assert content["overrides"] == ["variant=sgd"]
    assert not done.runs
    png = (done.folder / "out" / "lr_range.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_a_ramp_is_one_run_whose_rate_grows(tmp_path):
    found, _ = gd.lr_range("variant=minibatch", ramp=True, steps=60, low=1e-4, high=10.0,
                           folder=tmp_path)  # fmt: skip
    assert found.ramp
    assert found.rates == pytest.approx(np.geomspace(1e-4, 10, 60))
    assert np.isfinite(found.values[:20]).all()
    rate, reason = found.suggestion
    assert rate == pytest.approx(found.rates[found.best] / 10)
    assert "tenth" in reason


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--low", "5", "--high", "1"), "expected --low below --high"),
        (("--low", "0"), "--low 0: a learning rate must be a finite number above 0"),
        (("--high", "-1"), "--high -1: a learning rate"),
        (("--points", "2"), "at least 3"),
        (("--steps", "1"), "at least 2"),
        (("--low", "x"), "invalid float"),
        (("lr=fast",), "lr"),
        (("data=nowhere",), "nowhere"),
    ],
)
def test_wrong_input_is_one_message(gdframe, words, message):
    done = gdframe("lr-range", *words)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not list(done.folder.iterdir())


def test_where_nothing_descends_it_says_so():
    rates, nan = np.geomspace(1, 100, 5), np.full(5, np.nan)
    rate, reason = RangeTest(rates, nan, 1.0, 10, False, None).suggestion
    assert rate is None
    assert "--low" in reason
    rate, reason = RangeTest(rates, np.array([5.0, 4, 3, 2, 1]), 6.0, 10, False, None).suggestion
    assert rate == 100
    assert "--high" in reason
