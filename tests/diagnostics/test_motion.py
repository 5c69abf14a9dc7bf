"""The motion of an objective over its last epochs, on courses that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdframe.diagnostics.motion import Motion, course_of
from gdframe.diagnostics.overfitting import overfitting
from gdframe.diagnostics.smaller_rates_result import SmallerRatesResult

EPS = 1e-7
epochs = st.integers(12, 300)
scales = st.floats(-20, 20).map(lambda power: 10**power)


@settings(max_examples=40, deadline=None)
@given(epochs, st.floats(0.5, 0.999), scales)
def test_a_geometric_fall_descends_until_it_is_rounding(count, factor, scale):
    gap = factor ** np.arange(count)
    course = course_of(scale * (1 + gap), EPS, scale * gap[-1])
    last = gap[-min(101, 1 + count // 2) :]
    is_visible = np.ptp(last) > 16 * EPS
    assert course.motion in ((Motion.DESCENDS,) if is_visible else (Motion.STANDS, Motion.DESCENDS))


@settings(max_examples=40, deadline=None)
@given(epochs, st.floats(1e-6, 1e-2), st.floats(1, 1e8), st.floats(0, 0.5))
def test_a_fall_is_that_of_the_latest_epochs(count, fall, overshoot, factor):
    times = np.arange(float(count))
    course = course_of((1 - fall) ** times + overshoot * factor**times, 1e-16, 1.0)
    assert course.motion is Motion.DESCENDS
    early = overshoot * factor ** (count - 1 - course.latest)  # what is left of the overshoot
    assert fall * (1 - 1e-6) <= course.decrease <= fall * (1 + 1e-6) + early / (1 - fall) ** count


@settings(max_examples=40, deadline=None)
@given(epochs, scales, st.integers(0, 1000))
def test_noise_without_a_trend_rises_and_falls(count, scale, seed):
    noise = np.random.default_rng(seed).uniform(0.5, 1.5, size=count)
    course = course_of(scale * (1 + noise), EPS, scale)
    assert course.motion is not Motion.STANDS
    assert course.motion is not Motion.DESCENDS or course.decrease > 0
    assert course.motion is not Motion.RISES or course.end > course.start
    cycle = 1 + 0.5 * (-1.0) ** np.arange(count)
    assert course_of(scale * cycle, EPS, scale).motion is Motion.FLUCTUATES


@settings(max_examples=20, deadline=None)
@given(epochs, scales, st.integers(0, 1000))
def test_rounding_alone_stands(count, scale, seed):
    rounding = EPS * np.random.default_rng(seed).uniform(-1, 1, size=count)
    assert course_of(scale * (1 + rounding), EPS, scale).motion is Motion.STANDS


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(8, 300), st.floats(1e-4, 0.05))
def test_a_decrease_is_that_of_an_epoch_however_many_lie_between_evaluations(every, count, fall):
    at = every * np.arange(float(count))
    course = course_of((1 - fall) ** at, 1e-300, math.nan, at)
    assert course.motion is Motion.DESCENDS
    assert course.decrease == pytest.approx(fall, rel=1e-6)
    assert course.epochs % every == course.latest % every == 0
    assert course.latest <= course.epochs <= at[-1]


def test_growth_rises_and_short_runs_are_unknown():
    assert course_of(1.01 ** np.arange(50.0), EPS, 1.0).motion is Motion.RISES
    assert course_of(np.array([2.0, 1.0]), EPS, 1.0).motion is Motion.UNKNOWN


@pytest.mark.parametrize("best", [0, 5, 30])
def test_overfitting_names_the_epoch_of_the_lowest_validation_loss(best):
    times = np.arange(60.0)
    validation = 1 + 0.01 * np.abs(times - best)
    training = np.exp(-times / 20)
    since = "the start" if best == 0 else f"epoch {7 * best}"
    epochs = 7 * times
    assert f"has risen since {since}, from 1 to" in overfitting(validation, training, epochs)
    assert overfitting(validation, np.ones(60), epochs) is None
    has_risen = training.copy()
    has_risen[-1] = 2.0
    assert overfitting(validation, has_risen, epochs) is None


@pytest.mark.parametrize(("count", "most"), [(12, 1), (30, 1), (80, 0)])
def test_noise_of_the_validation_loss_is_hardly_ever_overfitting(count, most):
    times = np.arange(float(count))
    wrong = 0
    for seed in range(1000):
        validation = 1 + 0.05 * np.random.default_rng(seed).normal(size=count)
        wrong += overfitting(validation, np.exp(-times), times) is not None
    assert wrong <= most


@pytest.mark.parametrize("failing", range(5))
def test_the_rate_that_is_advised_has_a_margin_to_those_that_fail(failing):
    rates = [0.01, 0.1, 1.0, 10.0]
    objectives = [4.0 - k if k < 4 - failing else np.inf for k in range(4)]
    outcome = SmallerRatesResult(rates, objectives, start=5.0, steps=9)
    if failing == 4:
        assert outcome.best_index is None
        assert "none of 4 learning rates" in str(outcome)
    else:
        assert outcome.best_index == max(0, 2 - failing)
        assert f"try {rates[outcome.best_index]:g}, which lowered" in str(outcome)
