"""Optimizers whose constructor changes the learning rate that it is given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from gdframe.config.construct import construct
from gdframe.errors import UserError
from gdframe.registry import OPTIMIZERS
from gdframe.runs.log import warn_once
from gdframe.training.run_spec import RunSpec


def build_optimizer(
    settings: Mapping[str, Any], parameters: Iterator[nn.Parameter], *, lr: float, seed: int
) -> Optimizer:
    """Build an optimizer; warn if it trains with another learning rate than ``lr``.

    Args:
        settings: name and arguments of the optimizer.
        parameters: of the model.
        lr: learning rate of the config.
        seed: of the run.

    Raises:
        UserError: an argument is wrong.
    """
    optimizer: Optimizer = construct(OPTIMIZERS, settings, seed=seed, params=parameters, lr=lr)
    actual = optimizer.param_groups[0].get("lr")
    if isinstance(actual, (int, float)) and lr and actual not in (0, lr):
        warn_once(
            f"optimizer={settings['name']}: its constructor multiplies lr by {actual / lr:.4g}; "
            "the verdict, advice and curves name the rate it trains with"
        )
    return optimizer


def lr_to_set(config: Mapping[str, Any], spec: RunSpec, rate: float) -> float:
    """Return the ``lr`` to write into a config, so that the optimizer trains at ``rate``.

    Args:
        config: config of a run; its ``lr`` is a number.
        spec: what the config builds.
        rate: learning rate of the first parameter group.

    Raises:
        UserError: the optimizer's rate is in no fixed ratio to ``lr``.
    """
    if spec.lr == config["lr"]:
        return rate
    lr = float(f"{rate * config['lr'] / spec.lr:.12g}")
    again = OPTIMIZERS.configured(config["optimizer"], params=spec.model.parameters(), lr=lr)
    actual = again.param_groups[0]["lr"]
    if not math.isclose(actual, rate, rel_tol=1e-6):
        raise UserError(
            f"lr=auto: the constructor of optimizer={config['optimizer']['name']} turns lr into a "
            f"rate that is in no fixed ratio to it (lr={config['lr']:g} into {spec.lr:g}, "
            f"lr={lr:g} into {actual:g}); set a number"
        )
    return lr
