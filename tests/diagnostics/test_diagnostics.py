"""Advice for runs that diverge, are slow or converge; curvature during training."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from thinned import thinned

import gdframe as gd

NOISE = "the noise of the batches keeps the objective from settling"
HIMMELBLAU = ["model=himmelblau", "dtype=float64", "lr=0.001", "epochs=200"]
ROSENBROCK = ["model=rosenbrock", "dtype=float64"]
EXPLAINED = [
    (["variant=batch", "lr=0.9"], "diverged", "3.7 times the stability limit 0.24 (2 / lambda_max"),
    (["variant=batch", "lr=0.9"], "diverged", "; try 0.12"),
    (["variant=batch", "lr=0.9", "optimizer=momentum"], "diverged", "(3.8 / lambda_max)"),
    (["variant=batch", "lr=0.9", "optimizer=nesterov"], "diverged", "(1.36 / lambda_max)"),
    (["variant=sgd", "lr=0.2"], "diverged",
     "3 times the stability limit 0.067 at batch size 1; try 0.0067"),
    (["variant=sgd", "lr=0.01", "optimizer=momentum"], "diverged",
     "1.2 times the stability limit 0.0081 at batch size 1;"),
    (["variant=minibatch", "lr=0.2", "optimizer=momentum"], "diverged", "; try 0.012"),
    (["variant=batch", "lr=0.001"], "max_epochs", "is 0.41 % of its stability limit 0.24"),
    (["variant=sgd", "lr=1e-5"], "max_epochs", "is 0.015 % of its stability limit 0.067"),
    (["variant=batch", "lr=0.001", "optimizer=nesterov"], "max_epochs", "stability limit 0.16"),
    (["variant=batch", "lr=0.1", "optimizer=adam"], "max_epochs",
     "still descending: an epoch of the last 10 lowered"),
    (["variant=batch", "lr=100", "optimizer.clip_norm=1"], "max_epochs",
     "230 % of the mean predictor's loss; train r2 -1.77 is below 0: the mean of the targets"),
    (["variant=batch", "lr=100", "optimizer.clip_norm=1"], "max_epochs",
     "the objective rises and falls over the last 50 epochs; try 3.33, which lowered the"),
    (["variant=batch", "lr=0.1", "epochs=3000"], "converged",
     "0.164 above its minimum 3051.53, 0.0027 % of the mean predictor's loss"),
    (["variant=sgd", "lr=0.01"], "max_epochs", f"{NOISE}; try 0.0067, larger batches"),
    (["variant=minibatch", "lr=0.01"], "max_epochs", f"{NOISE}; try a smaller learning rate, "),
    (["variant=sgd", "lr=0.06", "schedule=warmup"], "max_epochs", NOISE),  # it lowers no rate
    (["variant=minibatch", "optimizer=nesterov", "lr=0.12"], "max_epochs", NOISE),
    (["variant=batch", "schedule=exponential", "schedule.gamma=0.8", "lr=0.2"], "max_epochs",
     "moves too slowly for its tolerance: an epoch of the last 40 lowered the objective by "
     "7.5e-07 % on average; the schedule has lowered the learning rate from 0.2 to 5.09e-11"),
    (["variant=batch", "lr=0.25"], "max_epochs",
     "learning rate 0.25 is just above the stability limit 0.24 (2 / lambda_max): the objective "
     "has risen over the last 50 epochs"),
    (["data=regression", "lr=1e-10"], "max_epochs", "moves too slowly: the objective has hardly"),
    (["model=himmelblau", "lr=1e-8"], "max_epochs", "moves too slowly"),
    (["model=himmelblau", "lr=1e-8", "optimizer=adam"], "max_epochs", "moves too slowly"),
    (["model=himmelblau", "lr=1e-8", "optimizer=rmsprop"], "max_epochs", "moves too slowly"),
    (["model=quadratic", "lr=0.2"], "max_epochs", "is at the stability limit 0.2 (2 / lambda_max)"),
    (["model=himmelblau", "lr=0.03"], "max_epochs", "the objective rises and falls over the last"),
    (["model=rastrigin", "lr=0.01"], "max_epochs", "the objective rises and falls over the last"),
    (["data=iris", "model=mlp", "initializer=zeros", "epochs=9"], "max_epochs",
     "all weights are zero, where the weights of a network get no gradient"),
    (["data=breast_cancer", "epochs=5"], "max_epochs", "so the loss has no finite minimum"),
    (["loss=poisson", "variant=batch", "lr=0.5"], "diverged", "which lowered the objective from 1"),
    (["data=digits", "variant=batch", "lr=0.001", "epochs=30"], "max_epochs", "limit 2.5"),
    (["data=digits", "variant=batch", "lr=1e-5"], "max_epochs",
     "still descending: an epoch of the last 10 lowered the objective by 0.00081 % on average"),
    (["data=digits", "variant=batch", "lr=100", "model=mlp", "model.hidden=[16]"], "diverged",
     "learning rate 100 is too large; try 0.1, which lowered the objective from 2.709 to"),
    (["data=digits", "variant=batch", "lr=100", "model=mlp", "model.hidden=[16]",
      "diagnostics.curvature=true"], "diverged", "times the stability limit"),
    # at the level of float32 rounding the processor decides
    (["data=digits", "variant=sgd", "lr=1"], "converged or max_epochs", "no finite minimum"),
    ([*ROSENBROCK, "lr=0.01"], "diverged", "7.5 times the stability limit 0.0013"),
    ([*ROSENBROCK, "lr=1e-4", "epochs=500"], "max_epochs", "still descending"),
    ([*ROSENBROCK, "model.start=[0.99,0.98]", "lr=1e-3", "epochs=9000", "optimizer=momentum",
      "stopping.gradient_tolerance=1e-4"], "converged", "a minimum: lambda_min = 0.399"),
    (["model=double_well", "model.start=[1.5]", "lr=0.01", "epochs=1000"], "converged",
     "a minimum: lambda_min = 7.07, 0.6 above the global"),
    (["model=himmelblau", "model.start=[-0.127961,-1.953715]", "dtype=float64",
      "stopping.gradient_tolerance=1e-3", "lr=0.001"], "converged",
     "a saddle, not a minimum: lambda_min = -50.6"),
    ([*HIMMELBLAU, "model.start=[0.086677,2.884254]"], "converged",
     "a saddle, not a minimum: lambda_min = -31.7"),
    ([*HIMMELBLAU, "model.start=[0.086677,2.884254]", "stopping.tolerance=null"], "max_epochs",
     "a saddle, not a minimum: lambda_min = -31.7"),
    ([*HIMMELBLAU, "model.start=[-0.270844590667,-0.923038522]"], "converged",
     "a maximum, not a minimum: lambda_min = -45.6"),
    (["model=rastrigin", "model.start=[0.50254,0.0]", "lr=0.001", "epochs=200"], "converged",
     "a saddle, not a minimum: lambda_min = -393"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "status", "words"), thinned(EXPLAINED, 4))
def test_runs_end_with_advice(tmp_path, overrides, status, words):
    result = gd.train(*overrides, folder=tmp_path / "run")
    assert str(result.status) in status.split(" or ")
    assert words in result.reason


@pytest.mark.parametrize(
    ("overrides", "within"),
    [
        (["variant=batch", "lr=0.05"], 0.03),
        pytest.param(
            ["variant=batch", "lr=0.002", "optimizer=momentum"], 0.03, marks=pytest.mark.slow
        ),
    ],
)
def test_a_slow_run_needs_the_epochs_that_its_advice_predicts(tmp_path, overrides, within):
    common = *overrides, "dtype=float64", "checkpoint.every=null", "logging.tensorboard=false"
    short = gd.train(*common, "epochs=100", folder=tmp_path / "short")
    predicted = int(re.search(r"([\d,]+) more epochs", short.reason)[1].replace(",", ""))
    long = gd.train(*common, "epochs=100000", folder=tmp_path / "long")
    assert long.status == "converged"
    assert predicted == pytest.approx(long.epochs - 100, rel=within)


def trained(**settings):
    torch.manual_seed(0)
    data = gd.Iris().load(dtype=torch.float64)
    model = gd.MLP(data.features, 3, hidden=[4])
    gd.initialize(model, gd.Xavier(), seed=0)
    model.double()
    trainer = gd.Trainer(
        model, gd.CrossEntropy(), gd.GD(model.parameters(), lr=0.5), gd.FullBatch(data.rows), data,
        epochs=6, **settings,
    )  # fmt: skip
    return trainer, trainer.fit()


def test_curvature_equals_that_of_the_dense_hessian_and_changes_nothing():
    trainer, result = trained(diagnosis=gd.Diagnostics(curvature=True, every=3, smallest=True))
    _, plain = trained()
    assert result.objective == plain.objective
    measured = result.history["curvature/lambda_max"]
    assert np.isfinite(measured).tolist() == [True, False, False, True, False, False, True]
    spec = trainer.run.spec
    objective, rows = spec.objective, spec.objective.encode(spec.data.train)
    names = [name for name, _ in objective.model.named_parameters()]

    def value(*parts):
        outputs = torch.func.functional_call(
            objective.model, dict(zip(names, parts)), (rows.features,)
        )
        return objective.loss(outputs, rows.targets)

    point = tuple(p.detach() for p in objective.model.parameters())
    blocks = torch.autograd.functional.hessian(value, point)
    sizes = [p.numel() for p in point]
    whole = torch.cat(
        [torch.cat([b.reshape(n, m) for b, m in zip(row, sizes)], 1)
         for row, n in zip(blocks, sizes)]
    )  # fmt: skip
    expected = np.linalg.eigvalsh(whole.numpy())
    assert measured[-1] == pytest.approx(expected[-1], rel=1e-6)
    lowest = result.history["curvature/lambda_min"][-1]
    assert lowest == pytest.approx(expected[0], abs=1e-6 * expected[-1])
    product = result.history["curvature/lr_times_lambda_max"]
    assert product[-1] == pytest.approx(0.5 * expected[-1], rel=1e-6)
    assert result.history["curvature/stability_limit"][0] == pytest.approx(2.0)
    assert result.diagnostics["lambda_max"] == measured[-1]


@pytest.mark.parametrize(
    "engine", ["eager", "linear", "gram", pytest.param("compiled", marks=pytest.mark.slow)]
)
def test_curvature_is_the_same_on_every_engine(engine, tmp_path):
    data = "data=diabetes" if engine == "gram" else "data=breast_cancer"
    common = (data, "variant=batch", "lr=0.1", "epochs=4", "dtype=float64",
              "diagnostics.curvature=true", "diagnostics.every=2")  # fmt: skip
    eager = gd.train(*common, "engine=eager", folder=tmp_path / "eager")
    other = gd.train(*common, f"engine={engine}", folder=tmp_path / "other")
    for name in ("curvature/lambda_max", "curvature/lr_times_lambda_max"):
        np.testing.assert_allclose(other.history[name], eager.history[name], rtol=1e-9)


def test_curvature_continues_bit_for_bit_after_a_resume(gdframe):
    common = ("data=iris", "model=mlp", "model.hidden=[4]", "lr=0.1",
              "engine=eager", "diagnostics.curvature=true", "diagnostics.every=2")  # fmt: skip
    assert gdframe(*common, "epochs=6", "hydra.run.dir=whole").code == 0
    assert gdframe(*common, "epochs=3", "hydra.run.dir=cut").code == 0
    done = gdframe("resume", "cut", "epochs=6")
    assert done.code == 0, done.err
    from gdframe.runs.checkpoint_file import load_checkpoint

    whole, _ = load_checkpoint(done.folder / "whole" / "checkpoint")
    cut, _ = load_checkpoint(done.folder / "cut" / "checkpoint")
    for name, values in whole.tensors.items():
        if "seconds" not in name:
            assert torch.equal(values.nan_to_num(), cut.tensors[name].nan_to_num()), name


def test_runs_of_a_sweep_end_with_advice_too(tmp_path):
    sweep = gd.sweep("variant=batch", "lr=0.001,0.1,0.9", "epochs=50", folder=tmp_path)
    reasons = [run["reason"] for run in sweep.runs]
    assert "of its stability limit 0.24" in reasons[0]
    assert "3.7 times the stability limit 0.24" in reasons[2]
    alone = gd.train("variant=batch", "lr=0.9", "epochs=50", folder=tmp_path / "alone")
    assert alone.reason == reasons[2]


def test_losses_without_curvature_are_refused(gdframe):
    for loss in ("mae", "hinge"):
        data = "data=diabetes" if loss == "mae" else "data=breast_cancer"
        done = gdframe(data, f"loss={loss}", "diagnostics.curvature=true")
        assert done.code == 2
        assert "second derivative" in done.err
        assert not done.runs


def test_preflight_advises_on_scales_copies_and_learning_rates(gdframe, tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    lines = ["size,price,again,y"] + [
        f"{a},{1000 * b},{2000 * b + 1},{a + b + c}" for a, b, c in rows
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = ("data=table", "data.path=t.csv", "data.target=y", "data.standardize=false")
    done = gdframe(*table, "lr=1e-9", "epochs=2")
    assert "differ in scale" in done.out
    assert "'again' and 'size'" in done.out
    assert "columns 'price' and 'again' are collinear" in done.out
    done = gdframe("variant=batch", "lr=0.9", "epochs=1")
    assert "advice: learning rate 0.9 is 3.7 times the stability limit" in done.out
    done = gdframe("variant=batch", "lr=0.9", "preflight=off", "hydra.run.dir=last")
    assert "advice" not in done.out
    reason = json.loads((done.folder / "last" / "result.json").read_text())["reason"]
    assert "3.7 times the stability limit" in reason  # the verdict does not depend on preflight


KINKS = [
    (["loss=huber"], "Huber is not twice differentiable"),
    (["penalty=l1"], "L1 has a kink at zero: lambda_max"),
    (["penalty=elastic_net"], "ElasticNet has a kink at zero"),
    (["model=mlp", "model.hidden=[4]"], "the model is piecewise linear (relu)"),
    (["data=breast_cancer", "loss=squared_hinge"], "SquaredHinge is not twice differentiable"),
]


@pytest.mark.parametrize(("overrides", "words"), thinned(KINKS, 4))
def test_preflight_advises_on_curvature_of_objectives_with_kinks(
    tmp_path, caplog, overrides, words
):
    gd.train(*overrides, "diagnostics.curvature=true", "epochs=1", folder=tmp_path / "run")
    assert f"advice: {words}" in caplog.text
    caplog.clear()
    gd.train("diagnostics.curvature=true", "epochs=1", folder=tmp_path / "smooth")
    gd.train(*overrides, "epochs=1", folder=tmp_path / "off")
    assert "advice: " not in caplog.text


def test_the_table_names_the_batch_size_of_a_limit(tmp_path):
    from gdframe.runs.result_table import table

    small = gd.train("data=breast_cancer", "variant=minibatch", "epochs=2", folder=tmp_path / "a")
    assert "lambda_max 3.298 at the start\n" in table(small)  # no limit of full batches
    known = gd.train("variant=sgd", "optimizer=momentum", "epochs=2", folder=tmp_path / "b")
    assert "(full batch), 0.00813 at this batch size\n" in table(known)
    theory = gd.train("variant=sgd", "diagnostics.theory=true", "epochs=2", folder=tmp_path / "c")
    assert "theory        minimum 3051.53, condition number 452.2\n" in table(theory)
