"""What every update rule is: two pure functions, and the torch optimizer that applies them."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gdframe.errors import UserError

State: TypeAlias = dict[str, list[Tensor]]
"""Optimizer state by name; each name holds one tensor for each parameter."""

Hyper: TypeAlias = Mapping[str, Any]
"""Hyperparameters by name, each a float or a 0-d tensor (so that ``vmap`` works over them)."""


class Optimizer(torch.optim.Optimizer):
    """Base of gdframe's update rules: ``init_state`` and ``update`` are all a rule writes.

    Both are pure and see whole lists of tensors: nothing is changed in place, ``p.grad`` least of
    all. ``step`` applies them, so an instance works in any PyTorch loop: with closures, parameter
    groups, ``state_dict``, torch's learning-rate schedulers and parameters without a gradient
    (which are left alone, their state too).

    Args:
        params: tensors, or parameter groups as in ``torch.optim``.
        defaults: every hyperparameter by name; ``lr`` must be there. ``clip_norm``, where it is
            given, scales the gradients of a parameter group so that their joint Euclidean norm is
            at most that.

    Raises:
        UserError: ``lr`` is negative or not finite, or ``clip_norm`` is not positive.

    Example:
        >>> class SignDescent(Optimizer):
        ...     def __init__(self, params, lr):
        ...         super().__init__(params, {"lr": lr})
        ...     @staticmethod
        ...     def update(params, grads, state, hyper):
        ...         return [p - hyper["lr"] * g.sign() for p, g in zip(params, grads)], state
        >>> x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        >>> (x**2).sum().backward()
        >>> SignDescent([x], lr=0.5).step()
        >>> x.tolist()
        [2.5, -1.5]
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        lr, clip_norm = float(defaults["lr"]), defaults.get("clip_norm")
        if not (math.isfinite(lr) and lr >= 0):
            raise UserError(f"lr={lr:g}: the learning rate must be a finite number of at least 0")
        if clip_norm is not None and not float(clip_norm) > 0:
            raise UserError(f"clip_norm={clip_norm:g}: must be above 0, or null for no clipping")
        super().__init__(params, defaults)

    # torch wraps these two so that their first call imports its compiler, which takes a second
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    @staticmethod
    def init_state(params: list[Tensor]) -> State:
        """Return the state before the first update; the default rule has none."""
        return {}

    @staticmethod
    @abstractmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Return the parameters and the state after one update."""

    @classmethod
    def apply(
        cls, params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Clip the gradients where ``hyper["clip_norm"]`` asks for it, then ``update``."""
        if hyper.get("clip_norm") is not None:
            grads = clip_norm(grads, hyper["clip_norm"])
        return cls.update(params, grads, state, hyper)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the closure's loss, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if p.grad.is_sparse:
                    raise UserError(
                        f"{type(self).__name__} takes dense gradients, got a sparse one"
                    )
                if p not in self.state:
                    self.state[p] = {key: value for key, (value,) in self.init_state([p]).items()}
            state = {key: [self.state[p][key] for p in params] for key in self.state[params[0]]}
            grads = [p.grad for p in params]
            hyper = {name: value for name, value in group.items() if name != "params"}
            new_params, new_state = self.apply(list(params), grads, state, hyper)
            for p, value in zip(params, new_params, strict=True):
                p.copy_(value)
            for key, values in new_state.items():
                for p, value in zip(params, values, strict=True):
                    self.state[p][key] = value
        return loss


def global_norm(tensors: list[Tensor]) -> Tensor:
    """Return the Euclidean norm over all entries of all tensors, a 0-d tensor."""
    flat = tensors[0] if len(tensors) == 1 else torch.cat([t.reshape(-1) for t in tensors])
    norm: Tensor = torch.linalg.vector_norm(flat)
    return norm


def clip_norm(grads: list[Tensor], limit: float | Tensor) -> list[Tensor]:
    """Scale gradients so that their global norm is at most ``limit`` (Pascanu et al., 2013).

    Below the limit they are multiplied by exactly one.
    """
    norm = global_norm(grads)
    scale = torch.where(norm > limit, limit / norm, torch.ones_like(norm))
    return [g * scale for g in grads]


def counters(params: list[Tensor]) -> list[Tensor]:
    """Return a zero 0-d counter for each parameter, in float64 so that it never saturates."""
    return [torch.zeros((), dtype=torch.float64, device=p.device) for p in params]
