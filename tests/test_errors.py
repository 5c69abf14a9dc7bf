"""Messages for users: one shape for a name that does not exist, and one for a bad value."""

from __future__ import annotations

from pathlib import Path

import pytest

import gdframe
from gdframe.errors import UserError, bad_value, fraction, positive, unknown

ROOT = Path(gdframe.__file__).parent


def test_an_unknown_name_is_told_with_the_closest_and_all():
    text = str(unknown("optimizer=adm", "optimizer", "adm", ["gd", "adam"]))
    assert text.startswith("optimizer=adm: ")  # what was given
    assert "no such optimizer" in text  # what is wrong
    assert "'adam'?" in text  # what to do
    assert text.endswith("gd, adam")


def test_a_name_that_is_close_to_none_has_no_suggestion():
    assert "did you mean" not in str(unknown("loss=xyz", "loss", "xyz", ["mse", "hinge"]))
    assert "nothing" in str(unknown("loss=xyz", "loss", "xyz", []))
    other = unknown("optimizer.lr", "key", "lr", ["beta"], suggestion="'lr', without 'optimizer.'")
    assert "did you mean 'lr', without 'optimizer.'?" in str(other)


def test_a_bad_value_is_told_with_the_values_that_can_be_used():
    assert str(bad_value("lr=0", "a number above 0")) == "lr=0: expected a number above 0"
    assert str(bad_value("x", "y", "do z")).endswith("; do z")


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_rates_of_decay(value):
    with pytest.raises(UserError, match=f"beta={value:g}: expected"):
        fraction("beta", value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_positive_numbers(value):
    with pytest.raises(UserError, match=f"lr={value:g}: expected"):
        positive("lr", value)


@pytest.mark.parametrize("words", ["difflib", "did you mean"])
def test_suggestions_are_worded_in_one_place(words):
    places = [p for p in ROOT.rglob("*.py") if words in p.read_text(encoding="utf-8").lower()]
    assert places == [ROOT / "errors.py"]
