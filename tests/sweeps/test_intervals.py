"""Intervals of means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdframe.sweeps.comparing.intervals import mean_interval


@given(st.lists(st.floats(-1e150, 1e150), min_size=6, max_size=12))
def test_an_interval_contains_its_mean(values):
    low, high = mean_interval(values)
    mean = sum(v / len(values) for v in values)
    rounding = 1e-12 * max(map(abs, values))
    assert low - rounding <= mean <= high + rounding


@given(st.lists(st.floats(-100, 100), min_size=6, max_size=12), st.floats(-1e3, 1e3))
def test_an_interval_moves_with_its_values(values, shift):
    low, high = mean_interval([10 * v for v in values])
    moved = mean_interval([10 * v + shift for v in values])
    assert moved == pytest.approx((low + shift, high + shift), rel=1e-6, abs=1e-6)
