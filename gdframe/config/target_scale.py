"""Standardises the targets of a run whose training depends on their scale.

Least squares of a linear model by a linear rule, such as gd, takes the same course on any scale. A
network, whose starting values are near 1, does not, and other rules and losses step by amounts that
do not follow the scale. Targets for networks get mean 0, too; linear models keep their start, where
predictions are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gdframe.data.dataset import Dataset
from gdframe.data.standard_targets import with_standard_targets
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.engines.base import Problem
from gdframe.losses import MSE, Loss
from gdframe.metrics.base import Metric
from gdframe.models import CNN, MLP
from gdframe.models.linear_model import LinearModel
from gdframe.objective import Objective
from gdframe.optimizers import GD, Momentum, Nesterov
from gdframe.penalties import L2, NoPenalty
from gdframe.penalties.base import Penalty
from gdframe.registry import is_built_in
from gdframe.schedules import Constant
from gdframe.training.shifted_targets import depends_on_units

SMALLEST, LARGEST = 1e-100, 1e100
"""Deviations whose squares are numbers."""


def fit_target_scale(
    settings: Mapping[str, Any],
    data: Dataset,
    loss: Loss | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    penalty: Penalty | None,
    metrics: Mapping[str, Metric] | None,
) -> tuple[Dataset, Loss | None]:
    """Return the data and the loss that a run trains with.

    Args:
        settings: of the data source.
        data: as loaded.
        loss: of the run, in the units of the target.
        model: of the run.
        optimizer: of the run.
        penalty: of the run.
        metrics: of the run, by name; None for the default ones.
    """
    if (
        not settings.get("standardize_target")
        or loss is None
        or data.task != "regression"
        or depends_on_units(loss)
        or any(depends_on_units(metric) for metric in (metrics or {}).values())
        or not _may_scale(model, loss, penalty)
        or _is_indifferent(model, loss, optimizer, penalty)
    ):
        return data, loss
    scaled = with_standard_targets(data, centre=not isinstance(model, LinearModel))
    scale = scaled.encoding.target_scale
    if scaled is data or not SMALLEST < scale < LARGEST:
        return data, loss
    return scaled, loss.scaled(scale)


def _may_scale(model: nn.Module, loss: Loss, penalty: Penalty | None) -> bool:
    """Return whether a model reaches targets on any scale, and its objective stays the same.

    A linear model has the same minimum, up to the scale, only with a penalty that follows the
    squares of the targets as the loss does.
    """
    if not is_built_in(model):
        return False
    if isinstance(model, (MLP, CNN)):
        return True
    if not isinstance(model, LinearModel):
        return False
    is_squared = type(penalty) is L2 and type(loss) is MSE
    return is_squared or penalty is None or isinstance(penalty, NoPenalty)


def _is_indifferent(
    model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, penalty: Penalty | None
) -> bool:
    """Return whether a run takes the same course on any scale of the targets."""
    if not isinstance(model, LinearModel) or type(loss) is not MSE:
        return False
    if is_built_in(optimizer):
        return isinstance(optimizer, (GD, Momentum, Nesterov))
    problem = Problem(Objective(model, loss, penalty), optimizer, Constant(), 0)
    try:
        return LinearRule.of(problem) is not None
    except Exception:  # of a user's rule, which the run itself will name
        return False
