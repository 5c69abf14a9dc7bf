"""``null`` is refused for each number and switch that a config must have."""

from __future__ import annotations

import pytest

import gdframe as gd
from gdframe.api import composed
from gdframe.config.schema import defaults

KEYS = [
    f"{group}.{key}"
    for group in ("logging", "checkpoint", "diagnostics")
    for key, value in (defaults(group, "default") or {}).items()
    if isinstance(value, (bool, int, float))
] + ["lr", "epochs", "batch_size", "seed", "preflight", "stopping.patience"]


@pytest.mark.parametrize("key", KEYS)
def test_null_is_told_as_it_was_typed(key):
    with pytest.raises(gd.UserError, match=rf"^{key}=null: expected"):
        composed([f"{key}=null"])
