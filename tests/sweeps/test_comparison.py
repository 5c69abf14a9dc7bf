"""Ranking of configurations, differences between levels, and pictures of a sweep."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gdframe as gd
from gdframe.errors import UserError
from gdframe.sweeps.comparing.comparison import (
    Configuration,
    Record,
    best,
    configurations,
    varied,
    winner,
)
from gdframe.sweeps.comparing.differences import differences
from gdframe.sweeps.comparing.minima import minima
from gdframe.sweeps.comparing.scales import scale_keys
from gdframe.sweeps.comparing.sweep_metric import check_metric, is_lost, value_of
from gdframe.sweeps.writing.heat_map import heat_map, levels_of
from gdframe.sweeps.writing.mean_curves import mean
from gdframe.sweeps.writing.pictures import draw
from gdframe.sweeps.writing.rate_curves import rate_curves
from gdframe.sweeps.writing.sweep_table import sentence


def record(objective, status="max_epochs", **settings):
    result = {"status": status, "objective": objective, "metrics": {"train": {"r2": -objective}}}
    return Record({key: str(value) for key, value in settings.items()}, result, "nowhere")


def runs(seeds, shift=0.5, spread=0.1):
    noise = np.random.default_rng(0).standard_normal(seeds)
    return [
        record(value, variant=variant, seed=seed)
        for seed in range(seeds)
        for variant, value in (("sgd", 1 + noise[seed]),
                               ("batch", 1 + noise[seed] + shift + spread * math.sin(seed)))
    ]  # fmt: skip


def test_a_configuration_has_a_mean_a_deviation_and_an_interval():
    ranked = configurations(runs(8), "objective")
    assert [c.settings for c in ranked] == [{"variant": "sgd"}, {"variant": "batch"}]
    values = list(ranked[0].values.values())
    assert ranked[0].mean == pytest.approx(np.mean(values))
    assert ranked[0].deviation == pytest.approx(np.std(values, ddof=1))
    low, high = ranked[0].interval
    assert low < ranked[0].mean < high
    half = 2.365 * np.std(values, ddof=1) / math.sqrt(8)  # Student's t
    assert half <= (high - low) / 2 <= 2 * half


def test_the_mean_of_the_runs_that_are_left_has_no_interval():
    values = [
        record(1.0 + 0.1 * s, "diverged" if s == 3 else "converged", seed=s) for s in range(8)
    ]
    (configuration,) = configurations(values, "objective")
    assert configuration.interval is None
    assert configuration.no_interval == "1 of 8 runs lost"


def test_seeds_that_change_nothing_are_one_run():
    (same,) = configurations([record(2.0, seed=s) for s in range(6)], "objective")
    assert same.no_interval == "one run: the seeds change nothing"
    # equal accuracies of runs that differ are not one run
    runs = [record(0.1 * s, seed=s) for s in range(6)]
    for run in runs:
        run.result["metrics"]["train"]["r2"] = 1.0
    (equal,) = configurations(runs, "metrics.train.r2")
    assert equal.interval == (1.0, 1.0)
    assert not equal.seeds_change_nothing


def test_too_few_seeds_have_no_interval():
    ranked = configurations(runs(4), "objective")
    assert ranked[0].interval is None
    assert ranked[0].no_interval == "too few seeds: 4"
    assert ranked[0].to_json()["too_few_seeds"]


def test_lost_runs_are_those_that_ended_with_nothing_to_compare():
    statuses = {"diverged": True, "failed": True, "interrupted": False, "converged": False}
    for status, is_worst in statuses.items():
        assert is_lost({"status": status, "objective": 1.0}, "objective") == is_worst
    assert is_lost({"status": "converged", "objective": 1e200}, "objective")
    assert not is_lost({"status": "converged", "objective": None}, "objective")
    missed = {"status": "max_epochs", "steps": 5, "target": 0.1, "objective": 1.0}
    assert is_lost(missed, "steps")
    assert not is_lost(missed, "objective")


def test_the_run_that_represents_a_configuration_has_a_value():
    runs = [record(9.0, "diverged", seed=0), record(2.0, seed=1), record(1.0, seed=2)]
    (configuration,) = configurations(runs, "objective")
    assert winner(configuration, "objective") is runs[1]


def end(x, objective, slope, lowest, status="converged"):
    result = {"status": status, "objective": objective, "point": [x], "model": "f",
              "gradient_norm": slope, "diagnostics": {"lambda_min": lowest}}  # fmt: skip
    return Record({"seed": "0"}, result, "nowhere")


def test_only_ends_at_minima_are_minima():
    ends = [end(1.0, -0.3, 1e-5, 8.0)] * 6 + [end(-1.0, 0.3, 1e-3, 8.0, "max_epochs")] * 3
    ends.append(end(0.07, 1.0, 0.008, -4.0))  # converged near a maximum
    ends.append(end(0.5, 0.6, 3.0, 2.0, "max_epochs"))  # still descending
    ends.append(end(9.0, math.nan, 3.0, 2.0, "diverged"))
    reached = minima(ends)
    assert [(m.point, m.runs) for m in reached] == [([1.0], 6), ([-1.0], 3)]
    assert sum(m.share for m in reached) == pytest.approx(9 / 12)
    assert reached[0].starts == 12
    low, high = reached[0].interval
    assert low == pytest.approx(0.2538, abs=1e-3)  # 6 of 12, Wilson
    assert high == pytest.approx(0.7462, abs=1e-3)


def test_points_of_several_sizes_and_values_without_numbers_are_no_minima():
    ends = [end(1.0, 0.5, 0.0, 8.0)] * 10
    ends += [end(1.0, None, 0.0, 8.0), end(1.0, 0.5, None, 8.0), end(1.0, 0.5, 0.0, None)]
    other = end(1.0, 0.5, 0.0, 8.0)
    other.result["point"] = [1.0, 2.0]
    assert [m.runs for m in minima([*ends, other])] == [11]  # without lambda_min it converged


def test_values_whose_squares_overflow_have_no_value():
    sizes = (1.7e308, -1.7e308, 1e200)
    (huge,) = configurations([record(v, seed=s) for s, v in enumerate(sizes * 3)], "objective")
    assert math.isnan(huge.mean)
    assert huge.interval is None
    large = [record(v * 1e150, seed=s) for s, v in enumerate(np.linspace(-1, 1, 8))]
    (large,) = configurations(large, "objective")
    assert math.isfinite(large.deviation)
    assert all(map(math.isfinite, large.interval))


def test_configurations_with_diverged_runs_come_last_and_those_runs_have_no_value():
    records = [
        record(0.001, "diverged", lr=1, seed=0), record(0.2, lr=1, seed=1),
        record(0.5, lr=0.1, seed=0), record(0.6, lr=0.1, seed=1),
        record(1e30, "diverged", lr=10, seed=0),
    ]  # fmt: skip
    ranked = configurations(records, "objective")
    assert [c.settings["lr"] for c in ranked] == ["0.1", "1", "10"]
    assert ranked[1].mean == 0.2
    assert math.isnan(ranked[2].mean)
    assert ranked[2].to_json()["mean"] is None


def test_a_run_that_missed_its_target_has_no_cost():
    records = [record(1.0, lr=1), record(0.1, "target_reached", lr=2), record(0.1, lr=3)]
    for run, steps, target in zip(records, (5, 90, 10), (0.1, 0.1, None), strict=True):
        run.result.update(steps=steps, target=target)
    assert [value_of(run.result, "steps") for run in records] == [None, 90, 10]
    assert [value_of(run.result, "objective") for run in records] == [1.0, 0.1, 0.1]


def test_each_scale_is_ranked_and_compared_separately():
    records = [
        record(value + seed, loss=loss, lr=lr, seed=seed)
        for seed in range(6)
        for loss, lr, value in (("mse", 1, 500), ("mse", 2, 900), ("mae", 1, 4), ("mae", 2, 3))
    ]
    scales = scale_keys(records, varied(records), "validation_loss")
    assert scales == ["loss"]
    ranked = configurations(records, "objective", scales)
    order = [(c.settings["loss"], c.settings["lr"]) for c in ranked]
    assert order == [("mse", "1"), ("mse", "2"), ("mae", "2"), ("mae", "1")]
    assert [c.settings for c in best(ranked)] == [ranked[0].settings, ranked[2].settings]
    pairs = differences(ranked, "objective")
    assert [(d.problem["loss"], d.key, d.better, round(d.mean)) for d in pairs] == [
        ("mse", "lr", "1", 400), ("mae", "lr", "2", 1),
    ]  # fmt: skip
    assert scale_keys(records, ["loss"], "metrics.train.r2") == []
    assert scale_keys(records, ["penalty", "penalty.strength"], "objective") != []
    assert scale_keys(records, ["penalty", "penalty.strength"], "validation_loss") == []


def test_greater_values_of_r2_are_better():
    records = [record(1.0, lr=1), record(2.0, lr=2)]
    assert [c.settings["lr"] for c in configurations(records, "metrics.train.r2")] == ["1", "2"]
    assert [c.settings["lr"] for c in configurations(records, "objective")] == ["1", "2"]
    assert value_of(records[0].result, "metrics.train.r2") == -1.0


def test_a_metric_is_a_number_of_the_result():
    check_metric(None)
    check_metric("metrics.validation.r2")
    with pytest.raises(UserError, match="did you mean 'objective'"):
        check_metric("objectiv")


def test_keys_that_only_some_runs_have_are_varied():
    beta = {"optimizer.beta": 1}
    records = [record(1.0, optimizer="gd"), record(2.0, optimizer="momentum", **beta)]
    assert varied(records) == ["optimizer", "optimizer.beta"]
    assert len(configurations(records, "objective")) == 2


def test_mean_curves_have_the_epochs_and_steps_of_all_runs():
    a = {
        "epochs/epoch": np.array([0.0, 4.0, 6.0, 8.0]),
        "epochs/objective": np.array([4.0, 2.0, 9.0, 1.0]),
        "steps/step": np.array([1.0]), "steps/loss": np.array([4.0]),
    }  # fmt: skip
    b = {
        "epochs/epoch": np.array([0.0, 4.0, 8.0]), "epochs/objective": np.array([2.0, 2.0, 3.0]),
        "steps/step": np.array([1.0, 2.0]), "steps/loss": np.array([2.0, 9.0]),
    }  # fmt: skip
    means = mean([a, b])
    assert means["epochs/epoch"].tolist() == [0.0, 4.0, 8.0]
    assert means["epochs/objective"].tolist() == [3.0, 2.0, 2.0]
    assert means["steps/loss"].tolist() == [3.0]


GRID = [
    record(abs(math.log10(lr) + 2) + 0.1 * seed, "diverged" if lr >= 1 else "converged",
           variant=variant, lr=lr, seed=seed)
    for variant in ("batch", "sgd") for lr in (0.001, 0.01, 0.1, 1, 10) for seed in range(3)
]  # fmt: skip


def test_learning_rates_at_which_all_runs_diverged_are_shaded():
    figure = rate_curves(configurations(GRID, "objective"), "objective")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    spans = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    assert min(span.x0 for span in spans) == pytest.approx(math.sqrt(0.1), rel=0.01)
    lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(lines) == 2
    assert list(lines[0].get_xdata()) == [0.001, 0.01, 0.1]
    assert list(lines[0].get_ydata()) == pytest.approx([1.1, 0.1, 1.1])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["variant=batch", "variant=sgd", "every line diverged", "all diverged"]


def test_learning_rates_of_only_one_line_are_not_shaded():
    more = [record(1e30, "diverged", variant="sgd", lr=100, seed=0)]
    figure = rate_curves(configurations(GRID + more, "objective"), "objective")
    spans = [p.get_extents().transformed(figure.axes[0].transData.inverted())
             for p in figure.axes[0].patches]  # fmt: skip
    assert max(span.x1 for span in spans) < 100


def test_each_scale_has_its_own_pictures(tmp_path):
    runs = [record(value * lr, loss=loss, lr=lr, variant=variant)
            for loss, value in (("mse", 1000), ("mae", 1)) for lr in (0.1, 1.0)
            for variant in ("batch", "sgd")]  # fmt: skip
    drawn = draw(tmp_path, configurations(runs, "objective", ["loss"]), "objective")
    assert sorted(drawn) == ["heat_map-loss=mae", "heat_map-loss=mse",
                             "learning_rates-loss=mae", "learning_rates-loss=mse"]  # fmt: skip


def test_random_search_has_no_heat_map():
    runs = [record(lr, lr=lr, optimizer=("gd", "adam")[i % 2])
            for i, lr in enumerate(np.geomspace(1e-3, 1, 12))]  # fmt: skip
    assert heat_map(configurations(runs, "objective"), "objective") is None


def test_a_heat_map_has_a_cell_for_each_pair():
    figure = heat_map(configurations(GRID, "objective"), "objective")
    axes = figure.axes[0]
    grid = axes.images[0].get_array()
    assert grid.shape == (2, 5)
    np.testing.assert_allclose(np.asarray(grid[0])[:3], [1.1, 0.1, 1.1])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "variant")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["batch", "sgd"]


def test_pictures_need_at_least_two_learning_rates_or_levels(tmp_path):
    assert draw(tmp_path, configurations(GRID[:1], "objective"), "objective") == {}
    one_key = configurations([record(1.0, lr=0.1), record(2.0, lr=1.0)], "objective")
    assert list(draw(tmp_path, one_key, "objective")) == ["learning_rates"]
    assert (tmp_path / "learning_rates.png").read_bytes().startswith(b"\x89PNG")
    by_words = configurations([record(1.0, variant="a"), record(2.0, variant="b")], "objective")
    assert draw(tmp_path, by_words, "objective") == {}
    assert not (tmp_path / "learning_rates.png").exists()  # of an earlier launch


def test_equal_runs_do_not_count_as_missing_seeds(tmp_path):
    sweep = gd.sweep("variant=batch", "lr=0.1,0.1,0.01", "epochs=5", folder=tmp_path)
    assert [c.settings["lr"] for c in sweep.configurations] == ["0.1", "0.01"]
    assert [run["epochs"] for run in sweep.runs] == [5, 5, 5]


def test_numeric_levels_of_a_picture_are_sorted():
    numbers = [Configuration({"a": level}) for level in ("0.5", "0", "-2", "1e-3", "10")]
    assert levels_of(numbers, "a") == ["-2", "0", "1e-3", "0.5", "10"]
    words = [Configuration({"a": level}) for level in ("sgd", "3", "batch")]
    assert levels_of(words, "a") == ["sgd", "3", "batch"]


def test_a_picture_shows_the_best_of_too_many_lines():
    """The best eight lines have one learning rate, and the others another."""
    runs = [record(1.0 + i, lr=0.1, b=i) for i in range(8)] + [record(99.0, lr=0.01, b=9)]
    ranked = configurations(runs, "objective")
    assert rate_curves(ranked, "objective") is not None


@pytest.mark.parametrize(
    ("key", "word"), [("seed", "seeds"), ("data.seed", "data seeds"), ("data.fold", "folds")]
)
def test_runs_that_repeat_a_configuration_are_averaged_and_named(key, word):
    records = [
        record(lr + repeat % 3, **{"lr": lr, key: repeat}) for lr in (1, 2) for repeat in range(8)
    ]
    ranked = configurations(records, "objective")
    assert [c.settings for c in ranked] == [{"lr": "1"}, {"lr": "2"}]
    assert [len(c.values) for c in ranked] == [8, 8]
    (difference,) = differences(ranked, "objective")
    assert f"of 8 {word}" in sentence(difference)


def test_seeds_and_folds_together_are_repeats():
    records = [
        record(s + 10 * f, **{"seed": s, "data.fold": f}) for s in range(3) for f in range(4)
    ]
    (configuration,) = configurations(records, "objective")
    assert len(configuration.values) == 12
    assert configuration.repeat == "repeat"
