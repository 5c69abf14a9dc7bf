"""Operations that PyTorch's compiler computes otherwise than PyTorch does, or cannot follow.

Near zero, its vector code for some functions rounds as if the result were near one. It computes
``a // b`` from the rounded ``a / b``. It skips the rounding to 16-bit types. PyTorch rounds the
slope of hardsigmoid to single precision, and sums variances in double; the compiler does neither.
It takes Python's ``max(a, b)`` of tensors for ``torch.maximum``, which differs for NaN and for
equal values. Slow tests enumerate PyTorch's functions with their slopes, and ways to write what a
compiler may simplify, and hold this list complete.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

INEXACT = {
    "expm1": "expm1",
    "atanh": "atanh",
    "acosh": "acosh",
    "elu": "elu, celu or selu",
    "celu": "celu",
    "selu": "selu",
    "erf": "erf",
    "gelu": "gelu in single precision",
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), "var or std in single precision"),
    "hardsigmoid": "hardsigmoid",
    "special_ndtr": "special.ndtr",
    "floor_divide": "floor division (//)",
    "remainder": "remainder (%)",
}
"""Names of operations, and what they are called in messages."""


class InexactOperationError(Exception):
    """A step does what is compiled otherwise, or not followed; the message names it."""


class RefuseInexact(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where an operation that is compiled otherwise is executed inside the context.

    Raises:
        InexactOperationError: names the operation.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes a second and is not used here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (reason := _why_not_followed(func, args)) is not None:
            raise InexactOperationError(f"{reason}, which compiled code does not follow")
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__.removeprefix("_foreach_")
        what = _named(name.removesuffix("_").removesuffix("_backward"), (args, kwargs), result)
        if what is not None:
            raise InexactOperationError(
                f"{what}, which PyTorch's compiler computes otherwise than PyTorch"
            )
        return result


def _why_not_followed(func: Any, args: Any) -> str | None:
    """Return what an operation gives Python, to decide by, that other values would change."""
    if torch.Tag.data_dependent_output in func.tags:
        return "a number of Python from a tensor (item, bool, min, max, alpha= or value=)"
    if torch.Tag.dynamic_output_shape in func.tags:
        indices = tree_leaves(args[1:]) if func.overloadpacket is torch.ops.aten.index else None
        if indices is None or any(i.dtype in (torch.bool, torch.uint8) for i in indices):
            return "a shape that depends on values (as of nonzero or of a boolean index)"
    return None


def _named(name: str, arguments: tuple[Any, Any], result: Any) -> str | None:
    """Return what an operation is called if it is compiled otherwise; else None."""
    for value in tree_leaves(result):
        if isinstance(value, Tensor) and value.is_floating_point() and value.itemsize < 4:
            return f"numbers of {str(value.dtype).removeprefix('torch.')}"
    tensors = [value for value in tree_leaves(arguments) if isinstance(value, Tensor)]
    if not any(tensor.is_floating_point() for tensor in tensors):
        return None
    if name == "div" and arguments[1].get("rounding_mode") == "floor":
        name = "floor_divide"
    what = INEXACT.get(name)
    if what is not None and what.endswith("single precision"):
        is_exact = arguments[1].get("approximate", "none") == "none"
        is_single = any(tensor.dtype == torch.float32 for tensor in tensors)
        return what if is_exact and is_single else None
    return what
