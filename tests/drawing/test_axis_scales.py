"""Numbers on axes: short, exact enough, and distinct from each other."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gdframe.drawing import DARK, LIGHT, is_logarithmic, label_axis, new_axes, png, short
from gdframe.drawing.axis_scales import far_out, log_ticks, tick_label

sizes = st.floats(1e-300, 1e300)


def number(label):
    return float(label.replace(",", ""))


@given(sizes, st.sampled_from([-1, 1]))
def test_a_short_number_is_the_number(size, sign):
    text = short(sign * size)
    assert number(text) == pytest.approx(sign * size, rel=0.0051)
    assert "e+" not in text
    assert "e0" not in text
    assert len(text) <= 10
    assert ("e" in text) == (not 1e-4 <= abs(number(text)) < 1e6)


@given(st.floats(1e-200, 1e200), st.floats(1.2, 1e100))
def test_ticks_of_a_logarithmic_axis_are_few_and_inside(low, ratio):
    high = low * ratio
    ticks = log_ticks(low, high)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 10
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)
    if ratio > 10.1:
        assert len(ticks) >= 2


@given(st.floats(-1e9, 1e9), st.integers(-6, 6), st.sampled_from([1, 2, 2.5, 5]))
def test_labels_of_even_ticks_are_distinct_and_exact(start, power, factor):
    step = factor * 10.0**power
    first = round(start / step)
    assume(abs(first) < 1e12)
    ticks = [(first + i) * step for i in range(6)]
    labels = [tick_label(tick, step) for tick in ticks]
    assert len(set(labels)) == 6
    for tick, label in zip(ticks, labels, strict=True):
        assert number(label) == pytest.approx(tick, abs=0.06 * step + 1e-9 * abs(tick))


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=9), st.booleans())
def test_an_axis_is_logarithmic_if_sizes_span_more_than_a_factor_of_ten(values, is_score):
    spans = max(values) / min(values)
    assume(abs(spans - 10) > 1e-6)
    assert is_logarithmic(values, is_score=is_score) == (spans > 10 and not is_score)
    assert not is_logarithmic([*values, 0.0])
    assert is_logarithmic([*values, math.nan, math.inf]) == is_logarithmic(values)


@given(st.lists(st.floats(1, 10), min_size=4, max_size=30))
def test_values_far_out_leave_an_axis_and_others_do_not(values):
    assert far_out(values) >= 9.999 * sorted(values)[len(values) // 2]
    assert max(values) <= far_out(values)
    assert far_out([*values, 1e12]) < 1e12


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize(("low", "high"), [(2e3, 2.6e4), (1e-11, 3.0), (0.4, 0.99), (7.95, 7.96)])
def test_labels_of_an_axis_are_plain_numbers(low, high, is_log):
    figure, axes = new_axes()
    axes.set_yscale("log" if is_log else "linear")
    axes.set_ylim(low, high)
    label_axis(axes.yaxis, low, high, is_log=is_log)
    png(figure)
    labels = [label.get_text() for label in axes.get_yticklabels() if label.get_text()]
    assert len(labels) == len(set(labels))
    assert all(math.isfinite(number(label)) and "e+" not in label for label in labels)


def contrast(a, b):
    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_series_and_text_are_visible_on_their_paper(look):
    assert len(set(look.series)) == 8
    assert all(contrast(color, look.paper) >= 3 for color in look.series)  # WCAG, for graphics
    assert contrast(look.ink, look.paper) >= 7
    assert look.ink not in look.series  # marks that belong to no series
