"""Heavy-ball momentum: v <- beta * v + g;  w <- w - lr * v.

Source: Polyak, "Some methods of speeding up the convergence of iteration methods" (1964). Polyak's
velocity includes the learning rate. Here, as in ``torch.optim.SGD``, it does not. This is the same
for a constant learning rate, and makes a schedule effective at once.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from gdframe.errors import fraction
from gdframe.optimizers.base import Hyper, Optimizer, State
from gdframe.registry import OPTIMIZERS


@OPTIMIZERS.register("momentum")
class Momentum(Optimizer):
    """Gradient descent that keeps a decaying sum of past gradients (heavy ball).

    On a quadratic with Hessian eigenvalue L it is stable for ``lr < 2 * (1 + beta) / L``.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, at least 0.
        beta: decay of the velocity, in [0, 1); 0 is plain gradient descent.
        clip_norm: largest gradient norm, or None.

    Example:
        >>> x = torch.nn.Parameter(torch.tensor(1.0))
        >>> optimizer = Momentum([x], lr=0.25, beta=0.5)
        >>> for _ in range(2): optimizer.zero_grad(); (x**2).backward(); optimizer.step()
        >>> x.item()  # 1 -> 0.5 -> 0.5 - 0.25 * (0.5 * 2 + 1)
        0.0
    """

    torch_names: ClassVar = {"beta": ("momentum", None)}

    def __init__(
        self, params: Any, lr: float, *, beta: float = 0.9, clip_norm: float | None = None
    ) -> None:
        super().__init__(params, {"lr": lr, "beta": fraction("beta", beta), "clip_norm": clip_norm})

    @staticmethod
    def init_state(params: list[Tensor]) -> State:
        """Return a zero velocity."""
        return {"velocity": [torch.zeros_like(p) for p in params]}

    @staticmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Apply v <- beta * v + g;  w <- w - lr * v."""
        lr, beta = hyper["lr"], hyper["beta"]
        velocity = [beta * v + g for v, g in zip(state["velocity"], grads, strict=True)]
        new_params = [p - lr * v for p, v in zip(params, velocity, strict=True)]
        return new_params, {"velocity": velocity}
