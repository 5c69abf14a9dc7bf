"""Pictures of sweeps: scales, marks and colours, over sweeps of every kind."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import LogNorm, same_color

from gdframe.drawing import DARK, LIGHT, png
from gdframe.sweeps.comparing.comparison import Configuration, Record
from gdframe.sweeps.writing.heat_map import heat_map
from gdframe.sweeps.writing.pictures import figures
from gdframe.sweeps.writing.rate_curves import rate_curves

METRICS = {
    "objective": "log", "validation_loss": "log", "metrics.validation.rmse": "log",
    "gradient_norm": "log", "steps": "log", "metrics.validation.r2": "linear",
    "metrics.train.accuracy": "linear",
}  # fmt: skip
"""Scale of the axis by metric, for values that span a factor of more than ten."""


def configuration(settings, values, *, lost="diverged", metric="objective"):
    """Return a configuration with a seed for each value; None is a run without one."""
    records, counts, by_seed, without = [], Counter(), {}, set()
    for seed, value in enumerate(values):
        status = lost if value is None else "max_epochs"
        result = {"status": status, "model": "linear", metric: value}
        records.append(Record({**settings, "seed": str(seed)}, result, "nowhere"))
        counts[status] += 1
        if value is None:
            without.add(str(seed))
        else:
            by_seed[str(seed)] = value
    return Configuration(settings, values=by_seed, lost=without, statuses=counts, records=records)


def sweep(levels, rates, value):
    """Return configurations of levels and learning rates, with values by ``value(i, j)``."""
    return [
        configuration({"variant": level, "lr": f"{lr:g}"}, value(i, j))
        for i, level in enumerate(levels)
        for j, lr in enumerate(rates)
    ]


LEVELS, RATES = ("batch", "sgd", "minibatch", "other"), (0.001, 0.01, 0.1, 1.0)


@pytest.mark.parametrize("metric", METRICS)
def test_the_scale_is_that_of_the_metric(metric):
    ranked = sweep(LEVELS, RATES, lambda i, j: [0.9 / 10 ** (j % 3)] * 2)
    figure = rate_curves(ranked, metric)
    assert figure.axes[0].get_yscale() == METRICS[metric]
    (image,) = heat_map(ranked, metric).axes[0].images
    assert isinstance(image.norm, LogNorm) == (METRICS[metric] == "log")
    narrow = rate_curves(sweep(LEVELS, RATES, lambda i, j: [2 + j, 3 + i]), metric)
    assert narrow.axes[0].get_yscale() == "linear"


LOST = {
    "none": lambda i, j: False,
    "one level": lambda i, j: i == 1,
    "the largest rate": lambda i, j: j == 3,
    "more with the rate": lambda i, j: j > i,
    "all but one": lambda i, j: (i, j) != (0, 0),
}


@pytest.mark.parametrize("pattern", LOST)
def test_crosses_are_apart_from_each_other_and_from_the_values(pattern):
    is_lost = LOST[pattern]
    ranked = sweep(LEVELS, RATES, lambda i, j: [None] * 2 if is_lost(i, j) else [1.0 + i, 40.0 + j])
    figure = rate_curves(ranked, "objective")
    png(figure)
    (axes,) = figure.axes
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert len(crosses) == sum(is_lost(i, j) for i in range(4) for j in range(4))
    places = [line.get_transform().transform(line.get_xydata())[0] for line in crosses]
    for a, b in combinations(places, 2):
        assert np.abs(a - b).max() > 6 * figure.dpi / 72  # points
    names = [line for line in axes.lines if line.get_linestyle() == "-"]
    colors = [line.get_color() for line in names]
    assert len(set(colors)) == len(LEVELS)
    assert {line.get_color() for line in crosses} <= set(colors)
    top = max([axes.transData.transform([0.01, 43.0])[1]] if len(crosses) < 15 else [0])
    assert all(place[1] > top for place in places)


def test_shading_has_the_colour_of_no_series():
    ranked = sweep(LEVELS, RATES, lambda i, j: [None] if j > 1 else [1.0])
    for look in (LIGHT, DARK):
        figure = rate_curves(ranked, "objective", look)
        (shades) = figure.axes[0].patches
        assert len(shades) == 2
        for shade in shades:
            color = shade.get_facecolor()[:3]
            assert not any(same_color(color, other) for other in look.series)


def test_a_line_with_some_runs_lost_has_an_open_mark():
    ranked = sweep(
        ("a", "b"), (0.1, 1.0), lambda i, j: [1.0, None] if (i, j) == (1, 1) else [1.0, 2]
    )
    (axes,) = rate_curves(ranked, "objective").axes
    (opened,) = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert opened.get_xydata().tolist() == [[1.0, 1.0]]
    assert same_color(opened.get_markerfacecolor(), LIGHT.paper)


def test_a_sweep_without_a_value_has_no_picture():
    assert figures(sweep(LEVELS, RATES, lambda i, j: [None]), "objective") == {}


def test_values_far_out_do_not_hide_the_others():
    ranked = sweep(LEVELS, RATES, lambda i, j: [1e12 if (i, j) == (3, 3) else 2000.0 + 900 * i * j])
    (axes,) = rate_curves(ranked, "objective").axes
    assert axes.get_ylim()[1] < 1e5
    assert any(text.get_text() == "up to 1e12" for text in axes.texts)
    (image,) = heat_map(ranked, "objective").axes[0].images
    assert image.norm.vmax < 1e5


@pytest.mark.parametrize(
    ("metric", "size"), [("objective", 2154.7), ("objective", 3e8), ("metrics.validation.r2", 1e-9)]
)
def test_numbers_in_pictures_are_written_plainly(metric, size):
    ranked = sweep(LEVELS, RATES, lambda i, j: [size * (1 + i + j)])
    for figure in (rate_curves(ranked, metric), heat_map(ranked, metric)):
        png(figure)
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        for axes in figure.axes:
            texts += [
                label.get_text() for label in (*axes.get_yticklabels(), *axes.get_xticklabels())
            ]
        assert len(texts) > 4
        assert not [text for text in texts if "e+" in text or "$" in text or "e-0" in text]


def test_the_learning_rates_that_were_tried_are_labelled():
    (axes,) = rate_curves(
        sweep(("a",), (0.003, 0.03, 0.1), lambda i, j: [1.0 + j]), "objective"
    ).axes
    png(axes.figure)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.003", "0.03", "0.1"]


def test_an_objective_of_known_minimum_is_its_gap():
    ranked = sweep(LEVELS, RATES, lambda i, j: [7.0 + 10.0**-j])
    for one in ranked:
        for record in one.records:
            record.result["diagnostics"] = {"minimum": 7.0}
    (axes,) = rate_curves(ranked, "objective").axes
    assert axes.get_ylabel() == "objective minus its minimum"
    assert axes.lines[0].get_ydata() == pytest.approx([1, 0.1, 0.01, 0.001])
    assert axes.get_yscale() == "log"
    assert rate_curves(ranked, "validation_loss").axes[0].get_ylabel() == "validation_loss"
    ranked[0].records[0].result["diagnostics"]["minimum"] = 6.0  # they have no common minimum
    assert rate_curves(ranked, "objective").axes[0].get_ylabel() == "objective"
