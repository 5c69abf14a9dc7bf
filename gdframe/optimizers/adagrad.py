"""AdaGrad: s <- s + g^2;  w <- w - lr * g / (sqrt(s) + eps).

Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
optimization" (2011), the diagonal form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdframe.errors import positive
from gdframe.optimizers.base import Hyper, Optimizer, State
from gdframe.registry import OPTIMIZERS


@OPTIMIZERS.register("adagrad")
class Adagrad(Optimizer):
    """Divides each coordinate's learning rate by the root of the sum of its squared gradients.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, at least 0.
        eps: added to the root, above 0.
        clip_norm: largest gradient norm, or None.

    Example:
        >>> x = torch.nn.Parameter(torch.tensor([1.0, 100.0]))
        >>> (x**2).sum().backward()
        >>> Adagrad([x], lr=0.5).step()
        >>> x.tolist()  # the first step is lr in each coordinate, at any scale
        [0.5, 99.5]
    """

    def __init__(
        self, params: Any, lr: float, *, eps: float = 1e-10, clip_norm: float | None = None
    ) -> None:
        super().__init__(params, {"lr": lr, "eps": positive("eps", eps), "clip_norm": clip_norm})

    @staticmethod
    def init_state(params: list[Tensor]) -> State:
        """Return zero sums of squared gradients."""
        return {"sum": [torch.zeros_like(p) for p in params]}

    @staticmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Apply s <- s + g^2;  w <- w - lr * g / (sqrt(s) + eps)."""
        lr, eps = hyper["lr"], hyper["eps"]
        total = [s + g * g for s, g in zip(state["sum"], grads, strict=True)]
        new_params = [
            p - lr * g / (s.sqrt() + eps) for p, g, s in zip(params, grads, total, strict=True)
        ]
        return new_params, {"sum": total}
