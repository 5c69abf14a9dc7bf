"""The rules, each on its own."""

from __future__ import annotations

import pytest

import gdframe as gd
from gdframe.stopping import Course, Status


def follow(stopping, values, *, noisy):
    course = Course(start=values[0], slope=1.0, best=values[0], last=values[0])
    for value in values[1:]:
        stopping.follow(course, value, noisy=noisy)
    return course


def test_small_steps_count_as_stale_and_large_ones_reset():
    stopping = gd.Stopping(tolerance=0.01, patience=3)
    assert follow(stopping, [100, 99.5, 99.4, 99.3], noisy=True).stale == 3
    assert follow(stopping, [100, 99.5, 90.0, 89.9], noisy=True).stale == 1


def test_small_steps_that_add_up_are_an_improvement():
    stopping = gd.Stopping(tolerance=0.01)
    assert follow(stopping, [100, 99.4, 98.8], noisy=True).stale == 0


def test_rising_is_noise_with_batches_and_oscillation_without():
    stopping = gd.Stopping(tolerance=0.01)
    assert follow(stopping, [100, 110, 120], noisy=True).stale == 2
    assert follow(stopping, [100, 110, 120], noisy=False).stale == 0


def test_a_run_that_climbs_is_no_converged_one():
    stopping = gd.Stopping(patience=3)
    climbs = follow(stopping, [100, 10, 20, 40, 80], noisy=True)
    assert climbs.stale == 3
    assert judge(stopping, course=climbs, objective=80.0) is None
    hovers = follow(stopping, [100, 10, 20, 15, 18], noisy=True)
    assert judge(stopping, course=hovers, objective=18.0).status == Status.CONVERGED
    above = follow(stopping, [100, 300, 200, 300], noisy=True)
    assert judge(stopping, course=above, objective=300.0) is None


def judge(stopping, *, course=None, **values):
    given = {"objective": 1.0, "gradient_norm": 1.0, "epoch": 1, "epochs": 10, "lr": 0.1}
    return stopping.judge(course or Course(1.0, 1.0, 1.0, 1.0), **{**given, **values})


def test_a_start_of_zero_never_diverges_by_factor():
    assert judge(gd.Stopping(), course=Course(0.0, 1.0, 0.0, 0.0), objective=5.0) is None


def test_a_negative_start_diverges_by_its_size():
    course = Course(-2.0, 1.0, -2.0, -2.0)
    verdict = judge(gd.Stopping(divergence_factor=10), course=course, objective=21.0)
    assert verdict is not None
    assert verdict.status == Status.DIVERGED


def test_null_switches_rules_off():
    stopping = gd.Stopping(tolerance=None, gradient_tolerance=None)
    course = Course(1.0, 1.0, 1.0, 1.0, stale=99)
    assert judge(stopping, course=course, gradient_norm=0.0) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"tolerance": -1.0}, {"patience": 0}, {"gradient_tolerance": float("nan")},
        {"target": float("inf")}, {"time_limit": 0.0}, {"divergence_factor": 1.0},
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(gd.UserError, match=next(iter(wrong))):
        gd.Stopping(**wrong)
