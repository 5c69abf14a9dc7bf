"""A schedule has one factor for each step, however steps are asked for together."""

from __future__ import annotations

import numpy as np
import pytest

import gdframe as gd
from gdframe.schedules.base import check_schedule, factors_of


class First(gd.Schedule):
    def factor(self, epochs, clock):
        return epochs / 1.5 if epochs[0] < 1.5 else 1.5 / np.maximum(epochs, 1e-9)


class Last(gd.Schedule):
    def factor(self, epochs, clock):
        return np.full_like(epochs, 0.01 if epochs[-1] > 2.5 else 1.0)


@pytest.mark.parametrize("kind", [First, Last])
@pytest.mark.parametrize("length", [1, 7, 700, 5000])
def test_a_schedule_that_decides_for_a_whole_array_is_refused(kind, length):
    for schedule in (kind(), gd.Warmup(epochs=0.1, then=kind())):
        with pytest.raises(gd.UserError, match="for other steps at a time"):
            check_schedule(schedule, gd.Clock(length, 5), {})


class Halves(gd.Schedule):
    def factor(self, epochs, clock):
        return np.where(epochs < 1.5, 1.0, 0.5)


@pytest.mark.parametrize("length", [1, 7, 1024, 5000])
def test_blocks_change_no_factor(length):
    clock, schedule = gd.Clock(length, 3), Halves()
    check_schedule(schedule, clock, {})
    for epoch in range(3):
        begin, end = epoch * length, (epoch + 1) * length
        whole = factors_of([schedule], begin, end, clock)[0][0]
        np.testing.assert_array_equal(whole, schedule(np.arange(begin, end), clock))
        for cut in {begin, (begin + end) // 2, end - 1}:
            np.testing.assert_array_equal(
                factors_of([schedule], cut, end, clock)[0][0], whole[cut - begin :]
            )
