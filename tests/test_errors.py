"""Messages for users: one shape for a name that does not exist, and one for a bad value."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

import gdframe
from gdframe.errors import UserError, bad_value, counted, fraction, positive, typed_as, unknown

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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (bad_value("beta=2", "less"), "optimizer.beta=2: "),
        (unknown("beta=x", "name", "x", ["y"]), "optimizer.beta=x: "),
        (bad_value("beta.every=2", "less"), "optimizer.beta.every=2: "),  # of a component inside
        (bad_value("betas=2", "less"), "betas=2: "),  # another argument
        (UserError("beta=2: is no InputError"), "beta=2: "),
    ],
)
def test_arguments_are_told_as_the_keys_that_were_typed(error, words):
    with pytest.raises(UserError) as caught, typed_as({"beta": "optimizer.beta"}):
        raise error
    assert str(caught.value).startswith(words)


def test_an_error_of_input_survives_a_worker_process():
    error = bad_value("beta=2", "less")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_numbers_of_things():
    assert (counted(1, "row"), counted(0, "row"), counted(5000, "row")) == (
        "1 row", "0 rows", "5,000 rows",
    )  # fmt: skip


def test_long_names_are_not_compared():
    begun = time.perf_counter()
    error = unknown("x", "column", "ab" * 50_000, ["ba" * 50_000, "y"])
    assert time.perf_counter() - begun < 5
    assert "did you mean" not in str(error)
