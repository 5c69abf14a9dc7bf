"""Early stopping restores the best parameters: in single runs, in groups, after a resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from thinned import thinned

import gdframe as gd
from gdframe.registry import ENGINES
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import EpochEnd, Status
from gdframe.training.run import Run
from gdframe.training.run_group import RunGroup
from gdframe.training.run_spec import RunSpec
from gdframe.training.trainer import train, train_alone

DATA = gd.Regression(rows=60, features=40, noise=3.0).load(dtype=torch.float64)  # it overfits


def spec(lr=0.02, patience=3, seed=0, loader=None, epochs=400):
    model = gd.Linear(DATA.features).double()
    gd.initialize(model, gd.Zeros(), seed=seed)
    return RunSpec(
        model, gd.MSE(), gd.Momentum(model.parameters(), lr=lr), loader or gd.FullBatch(DATA.rows),
        DATA, stopping=gd.Stopping(tolerance=None, rules=[gd.Early(patience=patience)]),
        epochs=epochs, seed=seed,
    )  # fmt: skip


def fit(run_spec, engine="eager", capture=None, observers=()):
    run = Run(run_spec, observers=observers)
    spec_of = {"data": DATA, "loader": run_spec.loader, "epochs": run_spec.epochs}
    built = ENGINES.build(engine, runs=[run_spec.problem], **spec_of)
    group = RunGroup([run], built)
    if capture is not None:
        run.restore(capture)
    return run, train_alone(group)


@pytest.mark.parametrize("engine", ["eager", "linear", "gram"])
def test_the_best_parameters_are_restored(engine):
    run, result = fit(spec(), engine)
    losses = result.history["validation_loss"]
    best = int(np.argmin(losses))
    assert result.status == Status.CONVERGED
    assert f"validation loss was best at epoch {best}" in result.reason
    assert len(losses) - 1 == best + 3
    assert result.epochs == best
    assert result.gradient_evaluations == best + 3
    assert result.validation_loss == pytest.approx(losses.min(), rel=1e-12)
    _, again = fit(spec(epochs=best), engine)
    for ours, theirs in zip(result.module.parameters(), again.module.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    assert run.step == best


@pytest.mark.parametrize("engine", thinned(["linear", "eager", "gram"], 3))
def test_runs_of_a_group_stop_as_they_would_alone(engine):
    settings = [{"lr": 0.02}, {"lr": 0.05, "patience": 5}, {"lr": 0.002}]
    runs = [Run(spec(**arguments)) for arguments in settings]
    problems = [run.spec.problem for run in runs]
    loader = gd.FullBatch(DATA.rows)
    built = ENGINES.build(engine, runs=problems, data=DATA, loader=loader, epochs=400)
    results = {}
    train(RunGroup(runs, built), lambda: None, ended=lambda run, end: results.update({run: end}))
    for run, arguments in zip(runs, settings):
        _, alone = fit(spec(**arguments), engine)
        ours = results[run]
        assert (ours.status, ours.reason, ours.steps) == (alone.status, alone.reason, alone.steps)
        assert ours.objective == pytest.approx(alone.objective, rel=1e-9)


def test_a_run_resumed_anywhere_stops_at_the_same_epoch():
    captures = []

    class Cut(gd.Observer):
        def on_epoch(self, run):
            captures.append(run.capture())

    _, whole = fit(spec(), observers=[Cut()])
    for capture in (captures[0], captures[len(captures) // 2], captures[-1]):
        _, result = fit(spec(), capture=capture)
        assert (result.reason, result.steps) == (whole.reason, whole.steps)
        for ours, theirs in zip(result.module.parameters(), whole.module.parameters()):
            assert torch.equal(ours, theirs)


def test_early_stopping_is_chosen_by_config(tmp_path):
    result = gd.train(
        "stopping=early", "stopping.early.patience=2", "stopping.early.metric=r2", "epochs=400",
        "stopping.tolerance=null", "variant=sgd", folder=tmp_path / "run",
    )  # fmt: skip
    assert result.status == Status.CONVERGED
    assert "validation r2 was best at epoch" in result.reason


def test_early_stopping_needs_validation_rows():
    data = gd.Regression(rows=20, features=2, validation=0.0).load()
    model = gd.Linear(2)
    with pytest.raises(gd.UserError, match=r"early needs the validation.*no validation rows"):
        gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(20), data,
            stopping=[gd.Early()],
        ).fit()  # fmt: skip
    with pytest.raises(gd.UserError, match="metric=r3: there is no such metric"):
        gd.Early(metric="r3")


def follow(values, **settings):
    """Return which values are the best so far, and the epoch in which the rule ends the run."""
    rule, memory, best = gd.Early(**settings), {}, []
    for epoch, value in enumerate(values):
        end = EpochEnd({"epoch": epoch, "validation_loss": value}, {}, 100, 0.1, noisy=False)
        best.append(rule.follow(memory, end))
        if rule.judge(memory, end):
            return best, epoch
    return best, None


def test_a_figure_that_is_not_a_number_is_worse_than_any_number():
    nan = float("nan")
    assert follow([nan, 3.0, nan, 2.0, nan, nan], patience=2) == (
        [True, True, False, True, False, False], 5
    )  # fmt: skip
    assert follow([nan] * 9, patience=2) == ([True, *[False] * 8], None)


def test_the_last_checkpoint_is_of_the_best_epoch(tmp_path):
    gd.train("data=regression", "data.rows=60", "data.features=40", "data.noise=3", "lr=0.02",
             "optimizer=momentum", "stopping=early", "stopping.early.patience=4", "epochs=400",
             "stopping.tolerance=null", "checkpoint.every=1", folder=tmp_path)  # fmt: skip
    capture, problems = RunFolder(tmp_path).load_checkpoint()
    assert problems == []
    assert capture.facts["step"] == RunFolder(tmp_path).read_result()["steps"]
