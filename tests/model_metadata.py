"""Metadata of a model file, for tests that write one by themselves."""

from __future__ import annotations

import gdframe as gd

METADATA = {
    "config": {"model": {"name": "linear"}, "dtype": "float32", "plugins": [], "seed": 0},
    "encoding": gd.Regression(rows=6, features=3).load().encoding.to_json(),
    "task": "regression",
    "outputs": 1,
    "loss": None,
}
