"""Operations that PyTorch's compiler computes less exactly than PyTorch does.

Near zero its vector code for some functions has an error of one unit in the last place of one, not
of the result; and it rounds ``a / b`` where ``a // b`` is meant. A slow test enumerates PyTorch's
functions and holds this list complete.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

INEXACT = {
    "expm1": "expm1",
    "atanh": "atanh",
    "elu": "elu, celu or selu",
    "celu": "celu",
    "selu": "selu",
    "erf": "erf",
    "floor_divide": "floor division (//)",
    "remainder": "remainder (%)",
}
"""Names of operations, and what they are called in messages."""


class InexactOperationError(Exception):
    """A step uses an operation of ``INEXACT``; the message names it."""


class RefuseInexact(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where an operation of ``INEXACT`` is executed inside the context.

    Raises:
        InexactOperationError: names the operation.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__.removesuffix("_").removesuffix("_backward")
        if name == "div" and kwargs.get("rounding_mode") == "floor":
            name = "floor_divide"
        of_numbers = all(not t.is_floating_point() for t in args if isinstance(t, torch.Tensor))
        if name in INEXACT and not of_numbers:
            raise InexactOperationError(
                f"{INEXACT[name]}, which PyTorch's compiler computes less exactly than PyTorch"
            )
        return func(*args, **kwargs)
