"""Coefficients are those of the raw features: with them, outputs follow without gdframe."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from sklearn import datasets

import gdframe as gd
from gdframe.registry import REGISTRIES
from gdframe.runs.coefficients_table import INTERCEPT, Coefficient, to_csv
from gdframe.training.coefficients import coefficients_of

RAW = {  # features as scikit-learn gives them, in the units of the data
    "diabetes": lambda: datasets.load_diabetes(scaled=False).data,
    "iris": lambda: datasets.load_iris().data,
    "breast_cancer": lambda: datasets.load_breast_cancer().data,
}


def trained(name, **settings):
    words = [f"data={name}", "dtype=float64", "epochs=3", "variant=batch", "data.validation=0"]
    return gd.train(*words, *(f"{key.replace('__', '.')}={v}" for key, v in settings.items()))


@pytest.mark.parametrize("standardize", ["true", "false"])
@pytest.mark.parametrize("name", RAW)
def test_outputs_follow_from_raw_features(name, standardize, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = trained(name, data__standardize=standardize, lr=1e-4)
    data = (
        REGISTRIES["data"]
        .build(name, validation=0.0, standardize=standardize == "true")
        .load(dtype=torch.float64)
    )
    with torch.no_grad():
        expected = result.module(data.train.features).numpy()
    raw = RAW[name]()  # in the order of the rows, or not
    outputs = {}
    for c in result.coefficients:
        outputs.setdefault(c.output, []).append(c)
    for k, coefficients in enumerate(outputs.values()):
        *weights, intercept = coefficients
        assert intercept.feature == INTERCEPT
        predicted = raw @ [c.value for c in weights] + intercept.value
        assert np.sort(predicted) == pytest.approx(np.sort(expected[:, k]), rel=1e-9)
        standardized = [c.value * s for c, s in zip(weights, raw.std(axis=0), strict=True)]
        assert [c.standardized for c in weights] == pytest.approx(standardized, rel=1e-9)
        assert intercept.standardized == pytest.approx(expected[:, k].mean(), rel=1e-9, abs=1e-12)
    rows = list(csv.DictReader((result.folder / "coefficients.csv").read_text().splitlines()))
    assert [float(row["coefficient"]) for row in rows] == [c.value for c in result.coefficients]
    assert [row["feature"] for row in rows] == [c.feature for c in result.coefficients]


def test_outputs_have_the_names_of_their_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {c.output for c in trained("diabetes").coefficients} == {""}
    assert {c.output for c in trained("breast_cancer").coefficients} == {"benign"}
    names = dict.fromkeys(c.output for c in trained("iris").coefficients)
    assert list(names) == ["setosa", "versicolor", "virginica"]


def test_other_models_have_no_coefficients(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model in ("mlp", "polynomial"):
        result = trained("diabetes", model=model, lr=1e-6)
        assert result.coefficients is None
        assert not (result.folder / "coefficients.csv").exists()


def test_a_model_without_a_bias_has_no_intercept():
    data = gd.Dataset.from_arrays([[1.0, 2.0], [3.0, 5.0]], [1.0, 2.0])
    features = [c.feature for c in coefficients_of(gd.Linear(2, bias=False), data)]
    assert features == data.encoding.feature_names


def test_names_are_no_formulas_in_a_spreadsheet():
    assert "\n,'=1+1,2.0,3.0\n" in to_csv([Coefficient("", "=1+1", 2.0, 3.0)])
