"""Data whose rows differ in weight, and the same data with each row as often as it weighs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import gdframe as gd

ROWS = 60
WEIGHTS = np.random.default_rng(5).integers(0, 4, ROWS)
REPEATED = np.repeat(np.arange(ROWS), WEIGHTS)


def features() -> Any:
    return np.random.default_rng(3).normal(size=(ROWS, 3))


def targets(loss: str) -> Any:
    random = np.random.default_rng(4)
    z = features() @ [1.0, -2.0, 0.5] + 0.3 + 0.3 * random.normal(size=ROWS)
    match loss:
        case "poisson":
            return random.poisson(np.exp(0.3 * z)).astype(float)
        case "cross_entropy":
            return np.digitize(z, [-1, 1])
        case "binary_cross_entropy" | "hinge" | "squared_hinge":
            return (z > 0).astype(int)
    return z


def pair_of_data(loss: str, **settings: Any) -> tuple[gd.Dataset, gd.Dataset]:
    """Return data with weights, and with repeated rows."""
    x, y = features(), targets(loss)
    common = {"dtype": torch.float64, "standardize": True, **settings}
    return (
        gd.Dataset.from_arrays(x, y, weights=WEIGHTS, **common),
        gd.Dataset.from_arrays(x[REPEATED], y[REPEATED], **common),
    )


def numbers_in(value: Any, path: str = "") -> dict[str, float]:
    """Return all numbers in plain values, by their place."""
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        inner = (numbers_in(item, f"{path}.{key}") for key, item in value.items())
        return {place: number for numbers in inner for place, number in numbers.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {path: float(value)} if is_number else {}


def assert_equal_results(weighted: gd.Result, repeated: gd.Result, tolerance: float) -> None:
    """Check all that two runs measured, but for counts of rows, times and versions."""
    excluded = {"seconds", "data", "samples", "versions", "confusion"}
    ours, theirs = (
        numbers_in({k: v for k, v in result.to_json().items() if k not in excluded})
        for result in (weighted, repeated)
    )
    assert ours.keys() == theirs.keys()
    for place, value in theirs.items():
        assert ours[place] == pytest.approx(value, rel=tolerance, abs=tolerance), place
    assert weighted.status == repeated.status
    for name, parameter in repeated.module.named_parameters():
        torch.testing.assert_close(
            weighted.module.get_parameter(name), parameter, rtol=tolerance, atol=tolerance
        )


TWO_CLASSES = ["binary_cross_entropy", "hinge", "squared_hinge"]


def train(
    data: gd.Dataset, loss: gd.Loss, engine: str, rule: Any = gd.Momentum, model: Any = gd.Linear
) -> gd.Result:
    net = model(data.features, loss.outputs(data)).double()
    gd.initialize(net, gd.Normal(std=0.3), seed=0)
    trainer = gd.Trainer(
        net, loss, rule(net.parameters(), lr=0.02), gd.FullBatch(data.rows), data, epochs=12,
        engine=engine, penalty=gd.L2(strength=0.01),
    )  # fmt: skip
    return trainer.fit()
