"""The split, standardisation and imputation, fitted on training rows, exact and storable."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gdframe as gd
from gdframe.data import encoding as encoding_module
from gdframe.data.encoding import Encoding, fit_moments
from gdframe.data.frame import Column, Frame, take


@given(seed=st.integers(0, 99), rows=st.integers(1, 40), block=st.integers(1, 10))
def test_moments_in_blocks_equal_numpy(seed, rows, block):
    random = np.random.default_rng(seed)
    x = random.normal(1e6, 1.0, size=(rows, 3))
    x[random.random(size=x.shape) < 0.2] = np.nan
    before = encoding_module.BLOCK
    encoding_module.BLOCK = block
    try:
        columns = [Column(f"x{i}") for i in range(3)]
        mean, deviation = fit_moments(columns, x, np.arange(rows))
    finally:
        encoding_module.BLOCK = before
    for j in range(3):
        present = x[~np.isnan(x[:, j]), j]
        if len(present):
            assert mean[j] == pytest.approx(present.mean(), rel=1e-12)
            assert deviation[j] == pytest.approx(present.std(), rel=1e-6, abs=1e-8)


def test_standardisation_is_fitted_on_training_rows_only():
    x = np.random.default_rng(0).normal(5, 3, size=(50, 2))
    data = gd.Dataset.from_arrays(
        x, x.sum(axis=1), validation=0.3, standardize=True, dtype=torch.float64
    )
    assert data.validation is not None
    train = data.train.features
    torch.testing.assert_close(train.mean(dim=0), torch.zeros(2).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(
        train.std(dim=0, correction=0), torch.ones(2).double(), rtol=1e-12, atol=0
    )
    assert data.validation.features.mean().abs() > 1e-3


@pytest.mark.parametrize("value", [0.1, 1e8, -1 / 3])
def test_constant_columns_become_zero(value):
    x = np.column_stack([np.full(30, value), np.arange(30.0)])
    data = gd.Dataset.from_arrays(x, np.arange(30.0), standardize=True, dtype=torch.float64)
    assert data.train.features[:, 0].abs().max() <= 1e-7 * abs(value)
    assert data.encoding.scale[0] == 1.0


def test_categories_are_one_hot_and_missing_categories_are_nan():
    columns = [Column("size"), Column("colour", "category", ("blue", "red"))]
    values = [np.array([1.0, 2.0, 3.0]), np.array([1, -1, 0])]
    block = take(columns, values, np.array([0, 1, 2]))
    np.testing.assert_array_equal(block, [[1, 0, 1], [2, np.nan, np.nan], [3, 1, 0]])


def test_an_encoding_is_restored_exactly_from_json():
    columns = (Column("a"), Column("b", "category", ("x", "y")))
    encoding = Encoding(
        columns, np.array([0.1, 1 / 3, 0]), np.array([1 / 7, 2, 3]), np.zeros(3), "t", ("n", "y")
    )
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    for name in ("mean", "scale", "fill"):
        assert np.array_equal(getattr(again, name), getattr(encoding, name))
    assert tuple(again.columns) == columns
    assert again.classes == ("n", "y")
    assert again.feature_names == ["a", "b=x", "b=y"]


@pytest.mark.parametrize(
    ("features", "targets", "words"),
    [
        ([1.0, 2.0], [1.0, 2.0], "shape"),
        ([[1.0], [2.0]], [1.0], "same number of rows"),
        ([["a"], ["b"]], [1.0, 2.0], "expected numbers"),
        ([[1.0], [2.0]], [3, 3], "one class only"),
        ([[1.0], [np.nan]], [1.0, 2.0], "missing value, first in row 2"),
        ([[np.inf], [1.0]], [1.0, 2.0], "infinite value, first in row 1"),
        ([[1.0], [2.0]], [1.0, np.inf], "non-finite value, first in row 2"),
        (np.zeros((0, 2)), np.zeros(0), "no rows"),
        (np.zeros((2, 0)), np.zeros(2), "no features"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(features, targets, words):
    with pytest.raises(gd.UserError, match=words):
        gd.Dataset.from_arrays(features, targets)


def test_float32_stays_float32():
    data = gd.Diabetes().load()
    assert data.train.features.dtype == data.train.targets.dtype == torch.float32


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "iris", "wine", "digits"])
def test_bundled_data_equal_scikit_learn(name):
    from sklearn import datasets

    loader = getattr(datasets, f"load_{name}")
    bunch = loader(scaled=False) if name == "diabetes" else loader()
    frame: Frame = gd.DATASETS.build(name).read()
    np.testing.assert_array_equal(frame.values, bunch.data)
    np.testing.assert_array_equal(frame.target, bunch.target)
    assert frame.feature_names == list(bunch.feature_names)
    if frame.classes is not None:
        assert [str(c) for c in frame.classes] == [str(c) for c in bunch.target_names]


@pytest.mark.parametrize("condition_number", [1.0, 100.0])
def test_synthetic_regression_has_the_chosen_condition_number_and_noise(condition_number):
    source = gd.Regression(
        rows=5000, features=4, noise=0.5, condition_number=condition_number, seed=3
    )
    frame = source.read()
    assert np.linalg.cond(np.cov(frame.values.T)) == pytest.approx(condition_number, rel=1e-6)
    residual = frame.target - frame.values @ frame.truth["weight"][0] - frame.truth["bias"]
    assert residual.std() == pytest.approx(0.5, rel=0.05)
    assert np.array_equal(source.read().target, frame.target)


def test_synthetic_classes_follow_the_softmax():
    frame = gd.Classification(rows=20_000, features=3, classes=3, seed=1).read()
    scores = frame.values @ frame.truth["weight"].T + frame.truth["bias"]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    counts = np.bincount(frame.target, minlength=3) / 20_000
    np.testing.assert_allclose(counts, shares.mean(axis=0), atol=0.01)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("regression", {"rows": 0}), ("regression", {"noise": -1.0}),
        ("regression", {"condition_number": 0.0}), ("classification", {"classes": 1}),
        ("classification", {"rows": 2, "classes": 5}),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(name, wrong):
    with pytest.raises(gd.UserError):
        gd.DATASETS.build(name, **wrong).load()


def test_the_checksum_changes_when_rows_change_places():
    x = np.random.default_rng(0).standard_normal((40, 3))
    for part in ("train", "validation"):
        for name in ("features", "targets"):
            data = gd.Dataset.from_arrays(x, x[:, 0], validation=0.25)
            before = data.checksum()
            values = getattr(getattr(data, part), name)
            values.copy_(values.flip(0).clone())
            assert data.checksum() != before, (part, name)


class Framed:
    """A table as pandas and polars show one to NumPy."""

    def __init__(self, columns, values):
        self.columns, self.values = columns, values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize(("columns", "names"), [
    (["size", "rooms"], ["size", "rooms"]),
    (["size", "size"], ["x0", "x1"]),
    ([0, 1], ["x0", "x1"]),
    (["size"], ["x0", "x1"]),
])  # fmt: skip
def test_a_table_given_as_an_array_keeps_the_names_of_its_columns(columns, names):
    data = gd.Dataset.from_arrays(Framed(columns, [[1.0, 2.0], [3.0, 4.0]]), [1.0, 2.0])
    assert data.encoding.feature_names == names


@pytest.mark.parametrize("kind", [str, object])
def test_text_among_features_names_what_takes_it(kind):
    values = np.array([["Bonn"], ["Aachen"]], kind)
    with pytest.raises(gd.UserError, match=r"Dataset\.from_frame takes tables with text"):
        gd.Dataset.from_arrays(Framed(["city"], values), [1.0, 2.0])
