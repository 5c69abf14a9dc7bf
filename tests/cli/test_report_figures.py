"""Figures and pictures of reports: one scale for each axis, and nothing without meaning."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import gdframe as gd
from gdframe.cli.report.run_page import describe_run
from gdframe.cli.report.sweep_page import describe_sweep
from gdframe.drawing import DARK, LIGHT

QUICK = ("preflight=false", "logging.tensorboard=false")

RUNS = {
    "mini-batches": ("variant=minibatch", "epochs=3"),
    "single rows": ("variant=sgd", "lr=1e-3", "epochs=2", "schedule=cosine"),
    "full batches": ("variant=batch", "lr=0.1", "epochs=4", "diagnostics.curvature=true"),
    "diverged": ("variant=batch", "lr=3", "epochs=4"),
    "classes": ("data=iris", "lr=0.1", "epochs=3", "penalty=l2"),
    "layers": ("data=iris", "model=mlp", "model.hidden=[4]", "epochs=3"),
    "function": ("model=himmelblau", "epochs=5"),
    "function below zero": ("model=double_well", "epochs=5", "dtype=float64"),
}
"""Runs of every kind that has a page of its own."""


def unit(column):
    """Return what a column is measured in."""
    if column in ("objective", "train_loss", "validation_loss", "loss/step"):
        return "loss"
    part, _, name = column.partition("/")
    return name if part in ("train", "validation") else part


def kinds(words, *, fast):
    """Return the kinds as parameters; those that need more time than they show are slow."""
    return [pytest.param(kind, marks=[] if kind in fast else pytest.mark.slow) for kind in words]


@pytest.fixture(
    scope="module",
    params=kinds(RUNS, fast=("mini-batches", "full batches", "function", "function below zero")),
)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    result = gd.train(*RUNS[request.param], *QUICK, folder=folder)
    return request.param, result, describe_run(folder, landscape=False)


def test_an_axis_has_one_scale(run):
    _, _, page = run
    for figure in page.figures:
        assert len(set(map(unit, figure.measures))) == 1, figure.measures


def test_axes_of_scores_are_linear(run):
    _, _, page = run
    for figure in page.figures:
        scores = [name for name in figure.measures if unit(name) in ("r2", "accuracy")]
        assert figure.linear == scores


def test_a_page_has_no_figure_that_means_nothing(run):
    kind, result, page = run
    titles = [figure.title for figure in page.figures]
    has_steps = result.steps > result.epochs
    assert ("And step by step?" in titles) == has_steps
    assert ("samples" in page.axes) == has_steps
    is_function = kind.startswith("function")
    assert ("Is it generalising?" in titles) != is_function
    assert ("Which parameter moves?" in titles) is False  # without an event file
    names = [name for name, _ in page.facts]
    assert ("variant" in names) != is_function
    columns = {column for curve in page.curves for column in curve["y"]}
    assert {name for figure in page.figures for name in figure.measures} == columns
    rows = dict(map(tuple, page.tables["Result"][0].rows))
    assert ("samples" in rows) != is_function
    assert "gradient evaluations" not in rows  # each step has one
    assert len(
        {value for name, value in rows.items() if "loss" in name or name == "objective"}
    ) == (sum("loss" in name or name == "objective" for name in rows))


def test_the_gap_to_a_known_minimum_is_shown(run):
    kind, result, page = run
    is_known = kind in ("mini-batches", "single rows", "full batches", "diverged",
                        "function below zero")  # fmt: skip
    gaps = [figure for figure in page.figures if figure.title == "How far from the minimum?"]
    assert [figure.measures for figure in gaps] == [["theory/gap"]] * is_known
    if is_known:
        x = np.array([-1.2, -0.9])
        lowest = -0.3054 if kind == "function below zero" else result.diagnostics["minimum"]
        assert kind != "function below zero" or min((x**2 - 1) ** 2 + 0.3 * x) > lowest
        (curve,) = [curve for curve in page.curves if "theory/gap" in curve["y"]]
        expected = [value - lowest for value in curve["y"]["objective"]]
        assert curve["y"]["theory/gap"] == pytest.approx(expected, rel=1e-3, abs=1e-3)
        assert min(curve["y"]["theory/gap"]) > -1e-6 * max(1, abs(lowest))


SWEEPS = {
    "one key": ("lr=0.01,0.1,1e3", "seed=0,1"),
    "two keys": ("variant=batch,minibatch", "lr=0.01,0.1"),
    "losses": ("loss=mse,mae", "lr=0.01,0.1", "variant=minibatch"),
    "functions": ("model=himmelblau,rastrigin", "lr=0.001,0.002"),
    "a function below zero": ("model=double_well", "model.tilt=0.3", "lr=0.01,0.1"),
    "scores": ("lr=0.01,0.1", "seed=0,1", "sweep.metric=metrics.validation.r2"),
}
"""Sweeps of every kind that has a page of its own."""


@pytest.fixture(scope="module", params=kinds(SWEEPS, fast=("losses", "a function below zero")))
def sweep(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    gd.sweep(*SWEEPS[request.param], "epochs=2", *QUICK, folder=folder)
    return request.param, describe_sweep(folder)


def test_each_scale_of_a_sweep_has_a_figure(sweep):
    kind, page = sweep
    keys = {
        "losses": ["loss=mse", "loss=mae"],
        "functions": ["model=himmelblau", "model=rastrigin"],
    }
    scales = keys.get(kind, [""])
    assert len(page.figures) == len(scales)
    drawn = [number for figure in page.figures for number in figure.groups]
    assert sorted(drawn) == list(range(len(page.groups)))  # each configuration, once
    for figure in page.figures:
        (scale,) = [scale for scale in scales if scale in figure.title]
        assert all(scale in page.groups[number] for number in figure.groups)
    assert ("samples" in page.axes) == (page.axis == "samples") == ("function" not in kind)


def test_the_curves_of_a_sweep_show_its_metric_or_the_gap_first(sweep):
    kind, page = sweep
    first = {"functions": "objective", "a function below zero": "theory/gap",
             "scores": "validation/r2"}.get(kind, "validation_loss")  # fmt: skip
    for figure in page.figures:
        assert figure.measures[0] == first
        assert figure.linear == [name for name in figure.measures if name == "validation/r2"]


def test_pictures_are_drawn_for_light_and_for_dark_pages(sweep):
    _, page = sweep
    assert len(page.pictures) >= len(page.figures)
    for picture in page.pictures:
        corners = []
        for png, look in ((picture.png, LIGHT), (picture.dark, DARK)):
            pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
            corners.append(pixels[2, 2].tolist())
            assert corners[-1] == [int(look.paper[i : i + 2], 16) for i in (1, 3, 5)]
    assert len({picture.title for picture in page.pictures}) == len(page.pictures)
