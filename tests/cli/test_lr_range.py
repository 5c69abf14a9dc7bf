"""The learning-rate range test: objectives equal those of runs, limits equal those of theory."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gdframe as gd
from gdframe.cli.main import main


def test_each_objective_equals_that_of_a_run(tmp_path):
    words = ("data=breast_cancer", "variant=minibatch", "dtype=float64", "engine=eager")
    result, folder = gd.lr_range(
        *words, low=0.01, high=1.0, points=3, steps=30, folder=tmp_path / "r"
    )
    per_epoch = -(-456 // 32)
    assert result.rates == pytest.approx([0.01, 0.1, 1.0])
    for lr, value in zip(result.rates, result.values):
        run = gd.train(*words, f"lr={lr}", "epochs=2", folder=tmp_path / f"{lr}")
        assert run.steps == 2 * per_epoch == 30
        assert value == pytest.approx(run.objective, rel=1e-12)
    assert sorted(path.name for path in folder.iterdir() if "events" not in path.name) == [
        "lr_range.dark.png", "lr_range.json", "lr_range.png",
    ]  # fmt: skip


def test_a_file_as_the_folder_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("gdframe.cli.lr_range.build", None)
    for folder, words in (("file", "is a file"), ("file/new", "file is a file")):
        assert main(["lr-range", "--output", folder]) == 2
        assert f"--output {folder}: {words}" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_runs_diverge_above_the_stability_limit(tmp_path):
    result, _ = gd.lr_range("variant=batch", "stopping.tolerance=null", steps=400, points=25,
                            low=0.05, high=1.0, folder=tmp_path)  # fmt: skip
    assert result.limit == pytest.approx(0.243977, rel=1e-4)
    ratio = 20 ** (1 / 24)  # of neighbouring rates
    assert result.limit < result.too_large < result.limit * ratio**3
    lr, reason = result.suggestion
    assert lr < result.limit
    assert lr in result.rates
    assert "lowest objective after 400 steps" in reason


def test_the_command_prints_a_suggestion_and_writes_no_run(gdframe):
    done = gdframe("lr-range", "variant=sgd", "--steps", "50", "--output", "out")
    assert done.code == 0, done.err
    assert done.out.startswith("suggestion    lr=")
    content = json.loads((done.folder / "out" / "lr_range.json").read_text())
    assert content["steps"] == 50
    assert len(content["rates"]) == len(content["values"]) > 40
    assert content["overrides"] == ["variant=sgd"]
    assert not done.runs
    png = (done.folder / "out" / "lr_range.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_a_ramp_is_one_run_with_a_growing_learning_rate(tmp_path):
    result, _ = gd.lr_range("variant=minibatch", ramp=True, steps=60, low=1e-4, high=10.0,
                            folder=tmp_path)  # fmt: skip
    assert result.ramp
    assert result.rates == pytest.approx(np.geomspace(1e-4, 10, 60))
    assert np.isfinite(result.values[:20]).all()
    lr, reason = result.suggestion
    assert lr == pytest.approx(result.rates[result.best] / 10)
    assert "tenth" in reason


def test_a_ramp_compares_losses_with_the_loss_at_the_start(tmp_path):
    words = ("data=iris", "model=mlp", "model.hidden=[4]", "penalty=l2", "penalty.strength=10")
    ramp, _ = gd.lr_range(*words, ramp=True, steps=20, low=1e-9, high=1e-8, folder=tmp_path / "a")
    many, _ = gd.lr_range(*words, points=3, steps=20, low=1e-9, high=1e-8, folder=tmp_path / "b")
    start = gd.train(*words, "epochs=1", folder=tmp_path / "c").history
    assert ramp.start == pytest.approx(start["train_loss"][0])
    assert many.start == pytest.approx(start["objective"][0])
    assert ramp.start < many.start / 2


@pytest.mark.parametrize(("ramp", "what"), [(False, "objective"), (True, "loss")])
def test_without_descent_there_is_no_suggestion(tmp_path, ramp, what):
    words = ("variant=batch", "penalty=l2")
    result, _ = gd.lr_range(*words, ramp=ramp, steps=9, low=50, high=90, folder=tmp_path)
    lr, reason = result.suggestion
    assert lr is None
    assert f"no learning rate from 50 to 90 lowers the {what} in 9 steps" in reason


@pytest.mark.parametrize("ramp", [False, True])
def test_no_metric_is_measured_that_costs_more_than_the_steps(tmp_path, monkeypatch, ramp):
    asked = []
    evaluate = gd.Gram.evaluate

    def watched(engine, part, *, whole=True):
        asked.append(whole)
        return evaluate(engine, part, whole=whole)

    monkeypatch.setattr(gd.Gram, "evaluate", watched)
    gd.lr_range("variant=batch", "engine=gram", ramp=ramp, steps=5, folder=tmp_path)
    assert asked
    assert not any(asked)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--low", "5", "--high", "1"), "--low 5 --high 1: expected --low below --high"),
        (("--low", "0"), "--low 0: expected a finite number above 0"),
        (("--high", "-1"), "--high -1: expected a finite number above 0"),
        (("--points", "2"), "at least 3"),
        (("--steps", "1"), "at least 2"),
        (("--low", "x"), "invalid float"),
        (("lr=fast",), "lr"),
        (("data=nowhere",), "nowhere"),
    ],
)
def test_invalid_input_gives_one_message(gdframe, words, message):
    done = gdframe("lr-range", *words)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not list(done.folder.iterdir())


def test_at_the_end_of_a_range_that_the_user_gives_there_is_a_hint(tmp_path):
    result, _ = gd.lr_range("variant=batch", steps=9, low=1e-5, high=1e-4, folder=tmp_path)
    lr, reason = result.suggestion
    assert lr == 1e-4
    assert reason.endswith("at the end of the range; try larger ones with --high")
    assert len(result.rates) == 40


def test_the_default_range_is_extended_while_the_best_rate_is_at_its_end(tmp_path):
    """Rosenbrock's valley diverges far below the default range of other rules' rates."""
    for words in (["data=digits", "epochs=2"], ["model=rosenbrock", "model.start=[100,100]"]):
        words = [word for word in words if "start" not in word]
        result, _ = gd.lr_range(*words, points=9, folder=tmp_path)
        assert result.suggestion[0] not in (result.rates[0], result.rates[-1])
