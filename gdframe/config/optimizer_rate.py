"""Optimizers whose constructor changes the learning rate that it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gdframe.errors import UserError
from gdframe.registry import OPTIMIZERS, is_built_in
from gdframe.training.run_spec import RunSpec


def factor_of_rate(config: Mapping[str, Any], spec: RunSpec) -> float:
    """Return by which factor an optimizer's constructor multiplies ``lr``; 0 if it ignores it.

    Args:
        config: config of a run; its ``lr`` is a number above 0.
        spec: what the config builds.

    Raises:
        UserError: the optimizer's rate is in no fixed ratio to ``lr``.
    """
    if is_built_in(spec.optimizer):
        return 1.0
    lr, actual = config["lr"], spec.lr
    parameters = spec.model.parameters()
    again = OPTIMIZERS.configured(config["optimizer"], params=parameters, lr=2 * lr)
    of_twice = float(again.param_groups[0]["lr"])
    if of_twice == actual:
        return 0.0
    if not math.isclose(of_twice, 2 * actual, rel_tol=1e-6):
        raise UserError(
            f"lr=auto: the constructor of optimizer={config['optimizer']['name']} turns lr into a "
            f"rate that is in no fixed ratio to it (lr={lr:g} into {actual:g}, lr={2 * lr:g} into "
            f"{of_twice:g}); set a number"
        )
    return float(actual / lr)
