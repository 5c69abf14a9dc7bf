"""Pictures of landscapes show paths, marks, colours and frames."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

import gdframe as gd
from gdframe.cli.landscape_animation import FRAMES, moments_of, until
from gdframe.cli.landscape_drawing import (
    PATHS,
    bar_labels,
    draw_landscape,
    edge_of,
    has_equal_units,
    legends,
    title_of,
)
from gdframe.diagnostics.landscape_grid import BEND, FINEST, refine, scale_of
from gdframe.diagnostics.plane import ASPECT, MOST_STRETCH, equal_spans, span


def train(folder, *words):
    gd.train(*words, "logging.tensorboard=false", "preflight=false", folder=folder)
    return folder


def test_legends_are_unique(tmp_path):
    runs = [
        train(tmp_path / f"run{seed}", f"seed={seed}", "lr=0.01", "epochs=2") for seed in (0, 1)
    ]
    twin = train(tmp_path / "twin", "seed=0", "lr=0.01", "epochs=2")
    shown = gd.landscape(*runs, points=4)
    assert legends(shown) == [f"gd, lr 0.01, minibatch: max_epochs, seed {i}" for i in (0, 1)]
    names = legends(gd.landscape(runs[0], twin, points=4))
    assert [name.rpartition(" ")[2] for name in names] == ["(run0)", "(twin)"]
    figure, _ = draw_landscape(shown)
    assert figure.axes[0].get_legend() is None  # the legend is outside the axes


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ((), "in the plane through the end of the run"),
        (("bias[0]",), "the 10 other parameters as at the end of the run"),
        (("weight[0,2]", "bias[0]"), "the 9 other parameters as at the end of the run"),
    ],
)
def test_the_title_says_where_the_other_parameters_stand(tmp_path, parameters, said):
    run = train(tmp_path / "run", "variant=batch", "epochs=2")
    assert said in title_of(gd.landscape(run, parameters=parameters, points=4))
    function = train(tmp_path / "function", "model=himmelblau", "epochs=2")
    assert title_of(gd.landscape(function, points=4)) == "objective of himmelblau"


def test_ends_at_one_point_are_all_visible(tmp_path):
    starts = ("[2.0,2.5]", "[3.5,1.5]", "[2.5,1.5]")
    runs = [
        train(tmp_path / str(i), "model=himmelblau", f"model.start={start}", "epochs=40")
        for i, start in enumerate(starts)
    ]
    figure, paths = draw_landscape(gd.landscape(*runs))
    sizes = [path.head.get_markersize() for path in paths]
    assert all(earlier > later for earlier, later in pairwise(sizes))  # later ones are on top
    star = next(line for line in figure.axes[0].lines if line.get_marker() == "*")
    assert all(star.get_zorder() < path.head.get_zorder() for path in paths)
    assert star.get_markersize() > min(sizes)
    labels = {line.get_label() for line in figure.axes[0].lines}
    assert {"start", "end", "global minimum"} <= labels


def luminance(color):
    parts = np.array(to_rgb(color))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("color", PATHS)
def test_paths_are_visible_on_any_ground(color):
    """A path or its edge has a contrast of at least 3, by WCAG, with each ground."""
    for ground in np.linspace(0, 1, 51):
        levels = [luminance(color), luminance(edge_of(color))]
        contrasts = [(max(a, ground) + 0.05) / (min(a, ground) + 0.05) for a in levels]
        assert max(contrasts) >= 3


@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=2, max_size=5, unique=True),
)
def test_both_axes_have_equal_units_unless_they_differ_too_much(points):
    points = np.array(points)
    own = [high - low for low, high in map(span, points.T)]
    shown = equal_spans(points)
    width, height = (high - low for low, high in shown)
    for (low, high), column in zip(shown, points.T, strict=True):
        assert low < column.min()
        assert column.max() < high
    stretch = max(width / own[0], height / own[1])
    assume(abs(max(own[0] / own[1], own[1] / own[0]) / MOST_STRETCH - 1) > 0.5)
    if max(own[0] / own[1], own[1] / own[0]) < MOST_STRETCH / ASPECT:
        assert width / height == pytest.approx(ASPECT)
    assert stretch <= MOST_STRETCH * (1 + 1e-9)


def test_a_picture_of_two_parameters_has_equal_units(tmp_path):
    run = train(tmp_path / "run", "variant=batch", "lr=0.1", "epochs=20")
    shown = gd.landscape(run, parameters=("weight[0,2]", "bias[0]"), points=6)
    assert has_equal_units(shown)
    figure, _ = draw_landscape(shown)
    assert figure.axes[0].get_aspect() == 1


FUNCTIONS = {
    "rosenbrock": (lambda x, y: (1 - x) ** 2 + 100 * (y - x * x) ** 2, 0.0),
    "a straight valley, not along the axes": (lambda x, y: (x + y) ** 2 + 3e4 * (x - y) ** 2, 0.0),
    "a ring": (lambda x, y: 1e3 * (np.hypot(x, y) - 1) ** 2 + 0.01, None),
    "a bowl far above zero": (lambda x, y: 3000 + x**2 + y**2, None),
    "a bowl with a known minimum": (lambda x, y: 3000 + x**2 + 50 * y**2, 3000.0),
    "a kink": (lambda x, y: np.abs(x - 0.3) + np.abs(y) + 1e-3, None),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_refined_grid_has_the_colours_of_the_objective(name):
    """Between points of the grid too, so that a valley is no row of beads."""
    function, minimum = FUNCTIONS[name]
    grid = (np.linspace(-1.6, 1.55, 50), np.linspace(-0.9, 1.7, 50))
    first = function(*np.meshgrid(*grid))
    asked = []

    def evaluate(points):
        asked.append(len(points))
        return function(*points.T)

    finer, values = refine(grid, first, evaluate, 40_000, minimum)
    assert sum(asked) <= 40_000
    assert max(map(len, finer)) <= FINEST
    scale = scale_of(values, minimum)
    exact = np.minimum(scale.share(function(*np.meshgrid(*finer))), 1)
    shown = np.minimum(scale.share(values), 1)
    assert np.abs(exact - shown).max() < 2 * BEND
    # halfway between the points of the grid
    x, y = (axis[:-1] + np.diff(axis) / 2 for axis in finer)
    middle = (shown[:-1, :-1] + shown[1:, :-1] + shown[:-1, 1:] + shown[1:, 1:]) / 4
    error = np.abs(np.minimum(scale.share(function(*np.meshgrid(x, y))), 1) - middle)
    assert np.quantile(error, 0.99) < 0.04


def test_a_refinement_asks_for_no_more_points_than_allowed():
    function, minimum = FUNCTIONS["rosenbrock"]
    grid = (np.linspace(-1.6, 1.55, 50), np.linspace(-0.9, 1.7, 50))
    for most in (0, 1, 500, 5_000):
        asked = [0]

        def evaluate(points, asked=asked):
            asked.append(len(points))
            return function(*points.T)

        refine(grid, function(*np.meshgrid(*grid)), evaluate, most, minimum)
        assert sum(asked) <= most


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6), st.booleans())
@settings(max_examples=50)
def test_numbers_at_the_bar_of_colours_are_apart_and_stand_where_they_belong(low, size, known):
    values = low + size * np.linspace(0, 1, 100) ** 3
    scale = scale_of(values, low if known else None)
    places, labels = bar_labels(scale)
    assert len(places) == len(labels) >= 2
    assert min(np.diff(places)) > 0.05
    for place, label in zip(places, labels, strict=True):
        number = float(label.replace(",", "")) + scale.base
        assert float(scale.share(np.array(number))) == pytest.approx(place, abs=0.02)
    assert len(set(labels)) == len(labels)


T = np.linspace(0, 1, 201)[:, None]
KINDS = {
    "settles early": np.hstack([np.exp(-40 * T), np.exp(-60 * T)]),
    "crawls": np.hstack([T**3, T]),
    "jumps between two points": np.hstack([np.arange(201)[:, None] % 2 * 0.2, 0 * T]),
    "spirals": np.exp(-3 * T) * np.hstack([np.cos(30 * T), np.sin(30 * T)]),
    "one parameter": np.exp(-20 * T),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("with_longer_run", [False, True])
def test_no_frame_of_an_animation_stands_still(name, with_longer_run):
    steps, paths = [np.arange(201)], [KINDS[name]]
    if with_longer_run:  # that has other points, and a part of its own after the first has ended
        steps.append(np.linspace(0, 1000, 101).astype(np.int64))
        paths.append(paths[0][::2] + 0.1)
    moments = moments_of(steps, paths)
    assert len(moments) == FRAMES
    assert moments[-1] == max(map(max, steps))
    lengths = []
    for moment in moments:
        drawn = [until(s, p, moment) for s, p in zip(steps, paths, strict=True)]
        lengths.append(sum(np.linalg.norm(np.diff(d, axis=0), axis=1).sum() for d in drawn))
    moved = np.diff(lengths)
    assert moved.min() > 0.5 * moved.mean()


def test_runs_of_an_animation_are_at_the_same_step():
    steps = np.array([0, 1, 2, 10, 20])
    points = np.arange(5.0)[:, None]
    assert until(steps, points, 2.0).ravel().tolist() == [0, 1, 2]
    assert until(steps, points, 6.0).ravel().tolist() == [0, 1, 2, 2.5]
    assert until(steps, points, 99.0).ravel().tolist() == [0, 1, 2, 3, 4]


def test_a_path_that_does_not_move_has_one_frame():
    assert moments_of([np.arange(5)], [np.ones((5, 2))]).tolist() == [4]
