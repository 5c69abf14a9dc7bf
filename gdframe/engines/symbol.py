"""A tensor without values, which stands for an argument of an update rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdframe.engines.nodes import NotElementwiseError, Place


class Symbol(Tensor):
    """A tensor without values that stands for a parameter, a gradient, a state or a setting."""

    place: Place
    like: Tensor
    """A plain tensor of the same shape and type."""

    @staticmethod
    def __new__(cls, place: Place, like: Tensor) -> Symbol:  # noqa: D102
        return torch.Tensor._make_wrapper_subclass(
            cls, like.shape, strides=like.stride(), dtype=like.dtype, device=torch.device("cpu")
        )

    def __init__(self, place: Place, like: Tensor) -> None:
        self.place, self.like = place, like

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Rewrite hyperparameters as factors where PyTorch takes plain numbers only."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        with torch._C.DisableTorchFunctionSubclass():
            if isinstance(kwargs.get("alpha"), Symbol) and name.rstrip("_") in ("add", "sub"):
                first, second = args
                return func(first, second * kwargs["alpha"])
            if isinstance(kwargs.get("value"), Symbol) and name.startswith("addc"):
                start, first, second = args
                return func(start, first * kwargs["value"], second)
            if name.rstrip("_") == "lerp":
                result = _lerp(*args, **kwargs)
                return args[0].copy_(result) if name == "lerp_" else result
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise NotElementwiseError("it uses a tensor of an earlier call")

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Symbol({tuple(self.shape)})"


def _lerp(input: Any, end: Any, weight: Any) -> Any:  # noqa: A002  (PyTorch's name)
    """Return ``input + weight * (end - input)`` as PyTorch, which ends at ``end`` exactly."""
    gap = end - input
    near_start, near_end = input + weight * gap, end - gap * (1 - weight)
    if isinstance(weight, Tensor):
        return torch.where(weight.abs() < 0.5, near_start, near_end)
    return near_start if abs(weight) < 0.5 else near_end
