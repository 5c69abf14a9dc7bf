"""Whether what a run is made of is of the right kind, and fits together."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from torch import nn

from gdframe.data.dataset import Dataset
from gdframe.errors import UserError
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss
from gdframe.models.plain import is_lazy
from gdframe.observers.base import Observer
from gdframe.penalties.base import Penalty
from gdframe.schedules.base import Schedule
from gdframe.stopping import Stopping

KINDS: dict[str, tuple[Any, str]] = {
    "model": (nn.Module, "a torch.nn.Module"),
    "loss": ((Loss, type(None)), "a gdframe.Loss, such as gdframe.MSE()"),
    "optimizer": (torch.optim.Optimizer, "an optimizer, such as gdframe.GD(...)"),
    "loader": (Loader, "a gdframe.Loader, such as gdframe.MiniBatch(rows, 32)"),
    "data": (Dataset, "a gdframe.Dataset, such as gdframe.Dataset.from_arrays(x, y)"),
    "penalty": ((Penalty, type(None)), "a gdframe.Penalty, such as gdframe.L2()"),
    "schedule": ((Schedule, type(None)), "a gdframe.Schedule, such as gdframe.Cosine()"),
    "stopping": ((Stopping, type(None)), "a gdframe.Stopping"),
    "observer": (Observer, "a gdframe.Observer"),
    "seed": (Integral, "a whole number"),
    "epochs": (Integral, "a whole number"),
}
"""What each part may be, as classes and in words."""


def check_parts(**parts: Any) -> None:
    """Refuse parts of another kind than a run is made of.

    Args:
        parts: by the names in ``KINDS``.

    Raises:
        UserError: names the first.
    """
    for name, value in parts.items():
        kinds, expected = KINDS[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
            raise UserError(f"{name} was given as {kind}: expected {expected}")


def check_fit(model: nn.Module, optimizer: torch.optim.Optimizer, data: Dataset) -> None:
    """Refuse a model without shapes, an optimizer of another model, data on an unknown device.

    Raises:
        UserError: says what does not fit.
    """
    if is_lazy(model):
        raise UserError(
            f"model {type(model).__name__} has lazy layers without shapes: call it on a few "
            "rows, model(data.train.features[:2]), before its optimizer is made"
        )
    if (device := data.train.features.device).type not in ("cpu", "cuda"):
        raise UserError(
            f"data on device {device}: expected cpu or cuda; other devices lack float64, in "
            "which objectives are summed and updates counted"
        )
    own = {id(parameter) for parameter in model.parameters()}
    if any(id(p) not in own for group in optimizer.param_groups for p in group["params"]):
        raise UserError("the optimizer is bound to parameters that are not the model's")
