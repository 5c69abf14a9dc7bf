"""Least squares of rows with weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from weighted import pair_of_data

import gdframe as gd
from gdframe.data.rows import relative
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.losses.weighting import weighting_of
from gdframe.objective import Objective


def test_stability_of_weighted_rows_is_that_of_scaled_rows():
    data, _ = pair_of_data("mse", standardize=False)
    model, loss = gd.Linear(3, 1, bias=False).double(), gd.MSE()
    quadratic = least_squares(Objective(model, loss, weighting=weighting_of(loss, data)), data)
    roots = relative(data.train.weights).sqrt()[:, None]
    scaled = gd.Dataset.from_arrays(
        roots * data.train.features, roots * data.train.targets, dtype=torch.float64
    )
    expected = least_squares(Objective(model, loss), scaled)
    optimizer = gd.Momentum(model.parameters(), lr=0.1)
    rule = LinearRule.of(gd.Problem(Objective(model, loss), optimizer, gd.Constant(), 0))
    assert quadratic.noisy_limit(rule, 4) == pytest.approx(expected.noisy_limit(rule, 4), rel=1e-9)
    np.testing.assert_allclose(quadratic.eigenvalues, expected.eigenvalues, rtol=1e-9)
    assert quadratic.minimum == pytest.approx(expected.minimum, rel=1e-9)
