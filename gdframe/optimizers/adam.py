"""Adam: running means of the gradient and of its square, corrected for the bias of a zero start.

    m <- beta1 * m + (1 - beta1) * g
    s <- beta2 * s + (1 - beta2) * g^2
    w <- w - lr * (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + eps)

Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from gdframe.errors import fraction, positive
from gdframe.optimizers.base import Hyper, Optimizer, State
from gdframe.optimizers.tensors import counters
from gdframe.registry import OPTIMIZERS


@OPTIMIZERS.register("adam")
class Adam(Optimizer):
    """Divides a running mean of gradients by their running root mean square, both bias-corrected.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, at least 0; about the length of a step in each coordinate.
        beta1: decay of the running mean of gradients, in [0, 1).
        beta2: decay of the running mean of squared gradients, in [0, 1).
        eps: added to the root, above 0.
        clip_norm: largest gradient norm, or None.

    Example:
        >>> x = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
        >>> (x**2).sum().backward()
        >>> Adam([x], lr=0.5).step()
        >>> x.tolist()  # the first step is lr in each coordinate, towards zero
        [0.5, -99.5]
    """

    torch_names: ClassVar = {"beta1": ("betas", 0), "beta2": ("betas", 1)}

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float | None = None,
    ) -> None:
        betas = {"beta1": fraction("beta1", beta1), "beta2": fraction("beta2", beta2)}
        defaults = {"lr": lr, **betas, "eps": positive("eps", eps), "clip_norm": clip_norm}
        super().__init__(params, defaults)

    @staticmethod
    def init_state(params: list[Tensor]) -> State:
        """Return zero running means and a zero step counter."""
        return {
            "mean": [torch.zeros_like(p) for p in params],
            "square": [torch.zeros_like(p) for p in params],
            "step": counters(params),
        }

    @staticmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Apply the three lines of the module's docstring."""
        lr, beta1, beta2, eps = (hyper[name] for name in ("lr", "beta1", "beta2", "eps"))
        step = [t + 1 for t in state["step"]]
        mean = [beta1 * m + (1 - beta1) * g for m, g in zip(state["mean"], grads, strict=True)]
        square = [
            beta2 * s + (1 - beta2) * g * g for s, g in zip(state["square"], grads, strict=True)
        ]
        new_params = [
            p - lr * (m / (1 - beta1**t)) / ((s / (1 - beta2**t)).sqrt() + eps)
            for p, m, s, t in zip(params, mean, square, step, strict=True)
        ]
        return new_params, {"mean": mean, "square": square, "step": step}
