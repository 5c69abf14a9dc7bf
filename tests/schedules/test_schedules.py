"""All registered schedules, and their composition."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gdframe as gd
from gdframe.schedules.base import factors_of

CLOCK = gd.Clock(steps_per_epoch=10, epochs=20)
STEPS = np.arange(200)


@pytest.mark.parametrize("name", list(gd.SCHEDULES))
def test_factors_are_finite_and_at_most_one(name):
    factors = gd.SCHEDULES.build(name)(STEPS, CLOCK)
    assert factors.shape == STEPS.shape
    assert np.isfinite(factors).all()
    assert (factors >= 0).all()
    assert (factors <= 1).all()


@pytest.mark.parametrize("name", list(gd.SCHEDULES))
def test_factors_depend_on_the_step_alone(name):
    schedule = gd.SCHEDULES.build(name)
    one_by_one = [schedule(np.array([step]), CLOCK)[0] for step in STEPS]
    assert np.array_equal(schedule(STEPS, CLOCK), one_by_one)


@pytest.mark.parametrize("name", list(gd.SCHEDULES))
def test_uses_run_length_is_true_for_schedules_that_depend_on_it(name):
    schedule = gd.SCHEDULES.build(name)
    longer = schedule(STEPS, gd.Clock(10, 40))
    assert schedule.uses_run_length == (not np.array_equal(longer, schedule(STEPS, CLOCK)))


def test_schedules_equal_torch():
    import torch

    peers = {
        "exponential": (gd.Exponential(gamma=0.9), "ExponentialLR", {"gamma": 0.9}),
        "step": (gd.Step(every=3, gamma=0.5), "StepLR", {"step_size": 3, "gamma": 0.5}),
        "cosine": (gd.Cosine(), "CosineAnnealingLR", {"T_max": 20}),
    }
    for schedule, name, settings in peers.values():
        rule = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        peer = getattr(torch.optim.lr_scheduler, name)(rule, **settings)
        expected = []
        for _ in range(20):
            expected.append(rule.param_groups[0]["lr"])
            rule.step()
            peer.step()
        np.testing.assert_allclose(schedule(np.arange(20), gd.Clock(1, 20)), expected, atol=1e-12)


def test_any_schedule_can_follow_a_warmup():
    inner = gd.Cosine()
    schedule = gd.Warmup(epochs=5, start=0.2, then={"name": "cosine"})
    factors = schedule(STEPS, CLOCK)
    np.testing.assert_allclose(factors[:50], 0.2 + 0.8 * np.arange(50) / 50)
    np.testing.assert_allclose(factors[50:], inner(np.arange(150), gd.Clock(10, 15)))
    assert schedule.uses_run_length
    nested = gd.Warmup(epochs=1, then=gd.Warmup(epochs=1, then="step"))
    assert nested(np.array([15]), CLOCK)[0] == pytest.approx(0.1 + 0.9 * 0.5)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("cosine", {"epochs": 0.0}), ("cosine", {"final": 2.0}), ("step", {"every": 0.0}),
        ("step", {"gamma": 0.0}), ("exponential", {"gamma": 1.1}), ("inverse_time", {"decay": 0.0}),
        ("warmup", {"epochs": 0.0}), ("warmup", {"start": -1.0}), ("warmup", {"then": "nothing"}),
        ("warmup", {"then": {"every": 1}}), ("warmup", {"then": {"name": "step", "evry": 1}}),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(name, wrong):
    with pytest.raises(gd.UserError):
        gd.SCHEDULES.build(name, **wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("begin", [0.0, 2.0])
def test_a_factor_that_is_not_finite_is_refused(value, begin):
    class Late(gd.Schedule):
        def factor(self, epochs, clock):
            return np.where(epochs < begin, 1.0, value)

    data = gd.Dataset.from_arrays(np.ones((20, 2)), np.arange(20.0))
    model = gd.Linear(2)
    rule, loader = gd.GD(model.parameters(), lr=0.01), gd.MiniBatch(20, 5)
    with pytest.raises(gd.UserError, match=r"returned (nan|inf) for step"):
        gd.Trainer(model, gd.MSE(), rule, loader, data, schedule=Late(), epochs=4).fit()


@pytest.mark.parametrize("says_so", [False, True])
def test_a_schedule_says_that_it_depends_on_the_length_of_the_run(says_so):
    class Down(gd.Schedule):
        uses_run_length = says_so

        def factor(self, epochs, clock):
            return 1 - epochs / (2 * clock.epochs)

    data = gd.Dataset.from_arrays(np.ones((20, 2)), np.arange(20.0))
    model = gd.Linear(2)
    parts = gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.MiniBatch(20, 5), data
    if says_so:
        gd.Trainer(model, *parts, schedule=Down(), epochs=4).fit()
        return
    with pytest.raises(gd.UserError, match="uses_run_length = True"):
        gd.Trainer(model, *parts, schedule=Down(), epochs=4)


class Halves(gd.Schedule):
    def factor(self, epochs, clock):
        if epochs < 2:
            return 1.0
        return 0.5


class Cosine(gd.Schedule):
    def factor(self, epochs, clock):
        return 0.5 + 0.5 * math.cos(math.pi * epochs / 8)


@pytest.mark.parametrize("schedule", [Halves(), Cosine()])
def test_a_schedule_may_be_written_for_a_single_time(schedule):
    clock = gd.Clock(4, 5)
    factors, _ = factors_of([schedule], 4, 8, clock)
    assert factors[0].tolist() == [float(schedule.factor(s / 4, clock)) for s in range(4, 8)]
    model, data = gd.Linear(1), gd.Dataset.from_arrays([[1.0], [2.0]], [1.0, 2.0])
    parts = model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(2), data
    assert gd.Trainer(*parts, schedule=schedule, epochs=5).fit().steps == 5
