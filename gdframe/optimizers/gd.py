"""Gradient descent: w <- w - lr * g.

Source: Cauchy, "Méthode générale pour la résolution des systèmes d'équations simultanées" (1847).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gdframe.optimizers.base import Hyper, Optimizer, State
from gdframe.registry import OPTIMIZERS


@OPTIMIZERS.register("gd")
class GD(Optimizer):
    """Plain gradient descent.

    On a quadratic with Hessian eigenvalue L, each step multiplies the error by ``1 - lr * L``. It
    is stable for ``lr < 2 / L``.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, at least 0.
        clip_norm: largest gradient norm, or None.

    Example:
        >>> import torch
        >>> x = torch.nn.Parameter(torch.tensor(1.0))
        >>> optimizer = GD([x], lr=0.25)
        >>> (x**2).backward(); optimizer.step(); x.item()
        0.5
    """

    def __init__(self, params: Any, lr: float, *, clip_norm: float | None = None) -> None:
        super().__init__(params, {"lr": lr, "clip_norm": clip_norm})

    @staticmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Apply w <- w - lr * g."""
        lr = hyper["lr"]
        return [p - lr * g for p, g in zip(params, grads, strict=True)], state
