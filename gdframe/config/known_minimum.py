"""The minimum of a run's objective, where it is known."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdframe.config.values import plain, read_config
from gdframe.registry import MODELS
from gdframe.runs.parsing import MOST_VALUES

log = logging.getLogger("gdframe")


def known_minimum(result: Mapping[str, Any] | None, folder: str | Path) -> float | None:
    """Return the minimum of a run's objective, or None where it is not known.

    It is known where diagnostics have measured it, and for functions that know their minima.

    Args:
        result: content of ``result.json``.
        folder: the run folder; its config is read for a function.
    """
    facts = (result or {}).get("diagnostics") or {}
    minimum = facts.get("minimum")
    if minimum is None and result is not None and result.get("point"):
        minimum = _of_function(Path(folder))
    if isinstance(minimum, (int, float)) and math.isfinite(minimum):
        return float(minimum)
    return None


def _of_function(folder: Path) -> float | None:
    """Return the least value of a function at its known minima.

    The folder may be somebody else's: its function may be of any size, or one that fails.
    """
    try:
        config = plain(read_config(folder))
        settings = config["model"]
        if config["penalty"]["name"] != "none" or settings["name"] not in MODELS:
            return None
        return _least_value(settings, config["dtype"])
    except Exception as error:
        log.debug("%s: the minimum of the function is not known: %s", folder, error)
        return None


def _least_value(settings: Mapping[str, Any], dtype: str) -> float | None:
    import torch

    from gdframe.config.build import sizes_of
    from gdframe.models import Function

    numbers, _ = sizes_of(json.dumps(settings), 0, 1)
    if numbers > MOST_VALUES:
        return None
    model = MODELS.configured(settings)
    if not isinstance(model, Function):
        return None
    with torch.no_grad():
        points = [torch.tensor(point, dtype=getattr(torch, dtype)) for point in model.known_minima]
        return min((float(model.value(point)) for point in points), default=None)
