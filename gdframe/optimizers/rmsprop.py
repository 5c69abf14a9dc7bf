"""RMSProp: s <- decay * s + (1 - decay) * g^2;  w <- w - lr * g / (sqrt(s) + eps).

Source: Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5 (2012).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdframe.errors import fraction, positive
from gdframe.optimizers.base import Hyper, Optimizer, State
from gdframe.registry import OPTIMIZERS


@OPTIMIZERS.register("rmsprop")
class RMSprop(Optimizer):
    """Divides each coordinate's learning rate by a running root mean square of its gradients.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, at least 0.
        decay: decay of the running mean of squared gradients, in [0, 1).
        eps: added to the root, above 0.
        clip_norm: largest gradient norm, or None.

    Example:
        >>> x = torch.nn.Parameter(torch.tensor([1.0]))
        >>> (x**2).sum().backward()
        >>> RMSprop([x], lr=0.1, decay=0.75).step()
        >>> round(x.item(), 6)  # 1 - 0.1 * 2 / sqrt(0.25 * 4)
        0.8
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        decay: float = 0.99,
        eps: float = 1e-8,
        clip_norm: float | None = None,
    ) -> None:
        defaults = {"lr": lr, "decay": fraction("decay", decay), "eps": positive("eps", eps)}
        super().__init__(params, {**defaults, "clip_norm": clip_norm})

    @staticmethod
    def init_state(params: list[Tensor]) -> State:
        """Return zero running means of squared gradients."""
        return {"square": [torch.zeros_like(p) for p in params]}

    @staticmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Apply s <- decay * s + (1 - decay) * g^2;  w <- w - lr * g / (sqrt(s) + eps)."""
        lr, decay, eps = hyper["lr"], hyper["decay"], hyper["eps"]
        square = [
            decay * s + (1 - decay) * g * g for s, g in zip(state["square"], grads, strict=True)
        ]
        new_params = [
            p - lr * g / (s.sqrt() + eps) for p, g, s in zip(params, grads, square, strict=True)
        ]
        return new_params, {"square": square}
