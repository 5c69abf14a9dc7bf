"""Nesterov's accelerated gradient: v <- beta * v + g;  w <- w - lr * (g + beta * v).

Source: Nesterov, "A method of solving a convex programming problem with convergence rate O(1/k^2)"
(1983), in the form of Sutskever et al., "On the importance of initialization and momentum in deep
learning" (2013), and ``torch.optim.SGD(nesterov=True)``: the stored parameters are the look-ahead
parameters, so the gradient is computed at the stored parameters.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from gdframe.errors import fraction
from gdframe.optimizers.base import Hyper, Optimizer, State
from gdframe.optimizers.momentum import Momentum
from gdframe.registry import OPTIMIZERS


@OPTIMIZERS.register("nesterov")
class Nesterov(Optimizer):
    """Momentum with the gradient at the look-ahead point.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, at least 0.
        beta: decay of the velocity, in [0, 1); 0 is plain gradient descent.
        clip_norm: largest gradient norm, or None.

    Example:
        >>> import torch
        >>> x = torch.nn.Parameter(torch.tensor(1.0))
        >>> optimizer = Nesterov([x], lr=0.25, beta=0.5)
        >>> (x**2).backward(); optimizer.step(); x.item()  # 1 - 0.25 * (2 + 0.5 * 2)
        0.25
    """

    torch_names: ClassVar = {"beta": ("momentum", None)}

    def __init__(
        self, params: Any, lr: float, *, beta: float = 0.9, clip_norm: float | None = None
    ) -> None:
        super().__init__(params, {"lr": lr, "beta": fraction("beta", beta), "clip_norm": clip_norm})

    init_state = staticmethod(Momentum.init_state)

    @staticmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Apply v <- beta * v + g;  w <- w - lr * (g + beta * v)."""
        lr, beta = hyper["lr"], hyper["beta"]
        velocity = [beta * v + g for v, g in zip(state["velocity"], grads, strict=True)]
        new_params = [
            p - lr * (g + beta * v) for p, g, v in zip(params, grads, velocity, strict=True)
        ]
        return new_params, {"velocity": velocity}
