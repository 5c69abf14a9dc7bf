"""An update rule and a loss, in one file."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gdframe import LOSSES, OPTIMIZERS, Loss, Optimizer


@OPTIMIZERS.register("sign")
class SignDescent(Optimizer):
    """Steps of one size against the sign of a decaying mean of gradients."""

    def __init__(self, params, lr: float, *, beta: float = 0.9, clip_norm: float | None = None):
        super().__init__(params, {"lr": lr, "beta": beta, "clip_norm": clip_norm})

    @staticmethod
    def init_state(params):
        return {"mean": [torch.zeros_like(p) for p in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        beta = hyper["beta"]
        mean = [beta * m + (1 - beta) * g for m, g in zip(state["mean"], grads, strict=True)]
        stepped = [p - hyper["lr"] * m.sign() for p, m in zip(params, mean, strict=True)]
        return stepped, {"mean": mean}


@LOSSES.register("log_cosh")
class LogCosh(Loss):
    """Smooth absolute error: mean of log cosh(scale * error) / scale."""

    def __init__(self, *, scale: float = 1.0, tags: Sequence[str] = ()) -> None:
        self.scale, self.tags = scale, tags

    def __call__(self, outputs, targets):
        error = self.scale * (outputs - targets)
        return (torch.logaddexp(error, -error) - 0.6931471805599453).mean() / self.scale
