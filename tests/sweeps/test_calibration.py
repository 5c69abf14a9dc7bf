"""False alarms, power and coverage of the comparison, on simulated sweeps of known truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from calibration import CASES, TRUE_MEANS, VALUES, coverage, false_alarms, grid, power
from scipy.stats import binom

from gdframe.sweeps.comparing.intervals import share_interval
from gdframe.sweeps.comparing.sign_flips import CHANCE, best_first, p_values, sign_flips


def most(sweeps: int) -> int:
    """Return the most false alarms that a test with 5 % of them has, but in 1 of 10,000 cases."""
    return int(binom.ppf(0.9999, sweeps, CHANCE))


@pytest.mark.parametrize("name", CASES)
def test_levels_that_are_alike_seldom_differ_beyond_chance(name):
    for rates, seeds in (((1, 1), 8), ((1,) * 6, 6), ((12, 1), 8), ((6, 6), 6)):
        assert false_alarms(CASES[name], rates, seeds, 60) <= most(60), (rates, seeds)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rates", "seeds"), grid())
def test_no_cell_of_the_grid_has_more_false_alarms_than_5_percent(name, rates, seeds):
    sweeps = 2000 if set(rates) == {1} else 200
    assert false_alarms(CASES[name], rates, seeds, sweeps) <= most(sweeps)


def test_a_level_with_one_good_learning_rate_is_compared_with_one_that_has_many():
    """The luck of the choice among twelve good ones is not taken for a difference."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        narrow, broad = rng.standard_normal((2, 12, 8))
        narrow[1:] += 5 * np.arange(1, 12)[:, None]
        levels = sorted(map(best_first, (narrow, broad)), key=lambda level: level[0].mean())
        alarms += bool(p_values(levels)[0] <= CHANCE)
    assert alarms <= most(200)


@pytest.mark.parametrize("rates", [(1, 1), (12, 12), (6, 6, 6)])
def test_a_difference_of_six_standard_errors_is_found_with_eight_seeds(rates):
    assert power(rates, 8, 6.0, 100) >= 0.95


def test_an_observed_t_of_six_is_always_found_with_eight_seeds():
    rng = np.random.default_rng(0)
    for _ in range(200):
        noise = rng.standard_normal(8)
        gaps = (noise - noise.mean()) / noise.std(ddof=1) + 6 / np.sqrt(8)
        assert p_values([np.zeros((1, 8)), gaps[None]])[0] <= CHANCE


def test_the_p_value_of_two_levels_is_that_of_all_flips():
    rng = np.random.default_rng(0)
    for seeds in (6, 9):
        better, worse = np.sort(rng.standard_normal((2, seeds)), axis=0)
        worse[0], better[0] = better[0], worse[0]
        gaps = worse - better
        sums = [abs(sum(s * g for s, g in zip(signs, gaps, strict=True)))
                for signs in itertools.product((1, -1), repeat=seeds)]  # fmt: skip
        expected = np.mean(np.array(sums) >= abs(gaps.sum()) - 1e-12)
        assert p_values([better[None], worse[None]])[0] == pytest.approx(expected)


def test_many_seeds_have_random_flips_of_which_the_first_is_none():
    flips = sign_flips(20)
    assert (flips[0] == 1).all()
    assert abs(flips.mean()) < 0.01


@pytest.mark.parametrize(("name", "least"), [("normal", 0.93), ("lognormal", 0.90)])
def test_intervals_contain_the_true_mean_as_often_as_they_say(name, least):
    for seeds in (6, 12):
        share = coverage(VALUES[name], TRUE_MEANS[name], seeds, 60)
        assert share >= least - 4 * np.sqrt(least * (1 - least) / 60)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [6, 7, 8, 10, 15, 20, 40])
@pytest.mark.parametrize(("name", "least"), [("normal", 0.93), ("lognormal", 0.90)])
def test_the_coverage_holds_from_six_seeds_on(name, least, seeds):
    share = coverage(VALUES[name], TRUE_MEANS[name], seeds, 4000)
    assert share >= least - 2 * np.sqrt(least * (1 - least) / 4000)


def test_intervals_of_shares_contain_the_true_share():
    rng = np.random.default_rng(0)
    for total, share in itertools.product((10, 36, 1000), (0.02, 0.25, 0.5, 0.9)):
        counts = rng.binomial(total, share, 500)
        intervals = [share_interval(int(count), total) for count in counts]
        assert np.mean([low <= share <= high for low, high in intervals]) >= 0.9
        for count, (low, high) in zip(counts, intervals, strict=True):
            assert 0 <= low <= count / total <= high <= 1
