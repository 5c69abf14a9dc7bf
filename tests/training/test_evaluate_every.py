"""Runs that are evaluated every few epochs are trained as others, and judged by epochs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from trainers import make

import gdframe as gd
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import EpochEnd, Status

ENGINES = ["eager", "linear", pytest.param("compiled", marks=pytest.mark.slow)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_is_trained_alike_and_evaluated_less(engine):
    settings = {"engine": engine, "epochs": 10, "dtype": torch.float64}
    often, seldom = make(**settings), make(**settings, evaluate_every=4)
    result, less = often.fit(), seldom.fit()
    for name, values in often.run.parameters().items():
        assert torch.equal(values, seldom.run.parameters()[name])
    assert less.history["epoch"].tolist() == [0, 4, 8, 10]
    for name, values in less.history.epochs.items():
        if name != "seconds":
            assert np.array_equal(values, result.history[name][[0, 4, 8, 10]], equal_nan=True), name
    for name, values in less.history.steps.items():
        assert np.array_equal(values, result.history.steps[name]), name
    assert less.objective == result.objective
    assert less.metrics == result.metrics


def test_a_run_cut_anywhere_goes_on_bit_for_bit():
    captures: list = []

    class Cut(gd.Observer):
        def on_block(self, run, steps):
            captures.append(run.capture())

    settings = {"epochs": 10, "evaluate_every": 4, "dtype": torch.float64}
    result = make(**settings, observers=[Cut()]).fit()
    for capture in captures:
        resumed = make(**settings)
        resumed.run.restore(capture)
        again = resumed.fit()
        for name, values in result.history.epochs.items():
            if name != "seconds":
                assert np.array_equal(values, again.history[name], equal_nan=True), name
        assert again.objective == result.objective
        assert again.reason == result.reason


@pytest.mark.parametrize("every", [1, 3, 7])
def test_patience_counts_epochs(every):
    rules = {
        "improvement": gd.Improvement(patience=20), "early": gd.Early(patience=20),
    }  # fmt: skip
    for rule in rules.values():
        memory: dict = {}
        start = {"epoch": 0, "objective": 1.0, "validation_loss": 1.0, "gradient_norm": 1.0}
        for epoch in range(0, 100, every):
            row = {**start, "epoch": epoch}
            end = EpochEnd(row, start, 1000, 0.1, noisy=True)
            rule.follow(memory, end)
            verdict = rule.judge(memory, end)
            assert (verdict is not None) == (epoch >= 20)
            if verdict is not None:
                assert f" for {epoch} epochs" in verdict.reason
                break


def test_a_run_stops_at_an_evaluation():
    result = make(
        epochs=400, lr=0.1, evaluate_every=6, loader=gd.FullBatch(48), stopping=None
    ).fit()
    assert result.status == Status.CONVERGED
    assert result.epochs % 6 == 0


def test_the_command_line_evaluates_every_few_epochs(gdframe, tmp_path):
    words = ["epochs=25", "evaluation.every=4", "checkpoint.every=6", "stopping.tolerance=null",
             "logging.max_points=6", "logging.histograms=3", "observer=csv"]  # fmt: skip
    done = gdframe(*words, "hydra.run.dir=run")
    assert done.code == 0, done.err
    folder = RunFolder(tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    evaluated = [0, 4, 8, 12, 16, 20, 24, 25]
    assert folder.read_history(result).epochs["epoch"].tolist() == evaluated
    assert folder.read_history(None).epochs["epoch"].tolist() == [0, 8, 16, 24, 25]  # the curve
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert [int(float(line.partition(",")[0])) for line in lines[1:]] == evaluated
    steps_per_epoch = result["steps"] // 25
    saved = [int(p.stem.rpartition("-")[2]) for p in (tmp_path / "run/checkpoint").iterdir()]
    assert sorted(step // steps_per_epoch for step in saved) == [20, 24, 25]
    resumed = gdframe("resume", "run", "epochs=30")
    assert resumed.code == 0, resumed.err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert folder.read_history(result).epochs["epoch"].tolist() == [*evaluated, 28, 30]
    assert gdframe("report", "run").code == 0


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "null", "often"])
def test_other_intervals_are_refused(gdframe, value):
    done = gdframe(f"evaluation.every={value}")
    assert done.code == 2
    assert "evaluation.every" in done.err
    assert not done.runs
