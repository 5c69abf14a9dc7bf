"""Differences between the levels of a sweep: what is compared, the test, and its words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdframe.sweeps.comparing.comparison import Record, configurations
from gdframe.sweeps.comparing.differences import differences
from gdframe.sweeps.writing.sweep_table import sentence


def record(objective, status="max_epochs", **settings):
    result = {"status": status, "objective": objective, "metrics": {"train": {"r2": -objective}}}
    return Record({key: str(value) for key, value in settings.items()}, result, "nowhere")


def runs_of(levels, **others):
    """Return runs of a key ``k``, from values by seed of each level."""
    return [
        record(value, "diverged" if math.isinf(value) else "max_epochs", k=level, seed=s, **others)
        for level, values in levels.items()
        for s, value in enumerate(values)
    ]


def compared(runs, metric="objective", key="k"):
    return [d for d in differences(configurations(runs, metric), metric) if d.key == key]


NOISE = np.random.default_rng(0).standard_normal(8)


def test_pairs_detect_a_difference_below_the_deviation_over_seeds():
    wave = 0.1 * np.sin(np.arange(8))
    (difference,) = compared(runs_of({"b": NOISE + 0.5 + wave, "a": NOISE}))
    assert (difference.better, difference.other, difference.seeds) == ("a", "b", 8)
    assert difference.mean == pytest.approx(0.5, abs=0.1)
    assert difference.p == 2 / 2**8
    assert difference.words == "beyond chance"
    assert sentence(difference) == (
        f"k=b against k=a: {difference.mean:+.4g}, worse on 8 of 8 seeds, p = 0.0078: beyond chance"
    )


def test_signs_that_disagree_could_be_chance():
    (difference,) = compared(runs_of({"a": NOISE, "b": NOISE + np.array([1, -1] * 3 + [1, 1])}))
    assert difference.words == "could be chance"
    assert "worse on 5 of 8 seeds" in sentence(difference)


def test_greater_values_of_r2_win():
    (difference,) = compared(runs_of({"a": NOISE, "b": NOISE + 1}), "metrics.train.r2")
    assert difference.better == "a"
    assert difference.mean == pytest.approx(-1)
    assert difference.words == "beyond chance"


def test_too_few_seeds_are_not_judged():
    (difference,) = compared(runs_of({"a": NOISE[:4], "b": NOISE[:4] + 1}))
    assert difference.words == "too few seeds (4, needs at least 6)"
    assert difference.to_json()["p"] is None


def test_lost_runs_count_as_worst_in_all_levels():
    left = NOISE - 0.01
    left[:3] = math.inf  # without these, it would be better on each seed
    (difference,) = compared(runs_of({"a": left, "b": NOISE}))
    assert (difference.better, difference.lost, difference.seeds) == ("b", (0, 3), 8)
    assert difference.counts == (3, 0, 5)
    assert difference.words == "could be chance"
    assert "3 runs lost against 0" in sentence(difference)
    (difference,) = compared(runs_of({"a": [math.inf] * 8, "b": NOISE}))
    assert difference.words == "beyond chance"
    left[:] = math.inf
    assert compared(runs_of({"a": left, "b": left})) == []


def test_runs_that_have_not_ended_are_left_out():
    runs = runs_of({"a": NOISE, "b": NOISE + 1})
    runs[2] = Record(runs[2].settings, None, "nowhere")
    (difference,) = compared(runs)
    assert difference.words == "beyond chance on 7 of 8 seeds"


def test_levels_that_differ_by_rounding_are_equal():
    base = 3051 + NOISE
    (difference,) = compared(runs_of({"a": base, "b": base + 1e-8}))
    assert difference.words == "equal up to rounding"
    base[2] = math.inf
    (difference,) = compared(runs_of({"a": base, "b": base + 1e-8}))
    assert difference.words == "could be chance"


def test_seeds_that_change_nothing_say_nothing_about_chance():
    (difference,) = compared(runs_of({"a": [1.0] * 8, "b": [2.0] * 8}))
    assert difference.words == "one run each, because the seeds change nothing"
    assert sentence(difference) == (
        "k=b against k=a: +1: one run each, because the seeds change nothing"
    )
    (difference,) = compared(runs_of({"a": [-9.0] * 8, "b": NOISE}))
    assert difference.words == "beyond chance"


def test_each_level_is_compared_at_its_own_best_learning_rate():
    runs = runs_of({"a": NOISE + 5, "b": NOISE}, lr=1) + runs_of({"a": NOISE, "b": NOISE + 9}, lr=2)
    (difference,) = compared(runs)
    assert difference.winner.settings["lr"] != difference.loser.settings["lr"]
    assert difference.words == "equal up to rounding"


def test_an_outlier_does_not_hide_a_difference_on_each_seed():
    worse = NOISE + 1
    worse[0] = 1e10
    (difference,) = compared(runs_of({"a": NOISE, "b": worse}))
    assert difference.words == "beyond chance"


@settings(max_examples=40)
@given(seeds=st.integers(2, 9), levels=st.integers(2, 4), rates=st.integers(1, 3), data=st.data())
def test_sentences_agree_with_their_numbers(seeds, levels, rates, data):
    values = st.sampled_from([0.0, 0.5, 1.0, 2.0, 1e149, math.inf])
    runs = [
        run for lr in range(rates) for run in runs_of(
            {str(k): data.draw(st.lists(values, min_size=seeds, max_size=seeds))
             for k in range(levels)}, lr=lr)
    ]  # fmt: skip
    for difference in differences(configurations(runs, "objective"), "objective"):
        worse, equal, better = difference.counts
        assert worse + equal + better == difference.seeds == seeds
        assert 2 / 2**seeds <= difference.p <= 1
        if difference.words == "beyond chance":
            assert seeds >= 6
            assert worse > better
        assert difference.words in sentence(difference)
