"""The minimum of a run's objective, where it is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdframe.config.values import plain, read_config
from gdframe.errors import UserError
from gdframe.registry import MODELS


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
    try:
        config = plain(read_config(folder))
        settings, penalty = config["model"], config["penalty"]
        if penalty["name"] != "none" or settings["name"] not in MODELS:
            return None
        model = MODELS.configured(settings)
    except (UserError, KeyError, TypeError):
        return None
    import torch

    from gdframe.models import Function

    if not isinstance(model, Function):
        return None
    dtype = getattr(torch, str(config["dtype"]), torch.float32)
    with torch.no_grad():
        values = [float(model.value(torch.tensor(p, dtype=dtype))) for p in model.minima()]
    return min(values, default=None)
