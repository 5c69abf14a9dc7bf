"""Loads the data that a config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gdframe.config.construct import construct
from gdframe.data.dataset import Dataset
from gdframe.data.frame import Frame
from gdframe.data.source import Source
from gdframe.errors import UserError, typed_as
from gdframe.models import Function
from gdframe.randomness import Purpose, seeded
from gdframe.registry import DATASETS, MODELS, is_built_in


def load_data(
    config: Mapping[str, Any], read: Callable[[Source], Frame] = lambda source: source.read()
) -> Dataset:
    """Load the data that a checked config names, on the CPU.

    Args:
        config: plain values.
        read: returns the raw data of a built-in source.

    Raises:
        UserError: the data cannot be used.
    """
    dtype = getattr(torch, config["dtype"])
    if needs_no_data(config):
        return Dataset.none(dtype=dtype)
    seed = config["data"].get("seed", 0)
    source = construct(DATASETS, config["data"], seed=seed)
    names = {name: f"data.{name}" for name in config["data"]}
    with typed_as(names), seeded(seed, Purpose.DATA):
        frame = {"frame": read(source)} if is_built_in(source) else {}
        loaded = source.load(dtype=dtype, device="cpu", **frame)
    if not isinstance(loaded, Dataset):
        raise UserError(
            f"data={config['data']['name']}: load returned a {type(loaded).__name__}; expected a "
            "gdframe.Dataset"
        )
    return loaded


def needs_no_data(config: Mapping[str, Any]) -> bool:
    """Return whether the model of a config is a function to minimise."""
    component = MODELS.get(config["model"]["name"])
    return isinstance(component, type) and issubclass(component, Function)
