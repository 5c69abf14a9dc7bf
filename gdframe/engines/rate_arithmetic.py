"""Notices arithmetic on a learning rate that Python refuses where arrays do not.

In the plain loop a learning rate is a Python number: it raises where a number is divided by zero,
and the root of a negative number is complex. In a stack it is a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from gdframe.engines.verification import DifferenceError

DIVISIONS = {"div", "divide", "true_divide", "truediv", "floor_divide", "floordiv", "remainder",
             "fmod", "mod"}  # fmt: skip
REVERSED = {"rdiv": "div", "rtruediv": "div", "rfloordiv": "div", "rmod": "div", "rpow": "pow"}
POWERS = {"pow", "float_power"}
OTHERS = {"reciprocal": -1.0, "rsqrt": -0.5, "sqrt": 0.5}
"""Names of operations, and the powers that some of them take."""

REFUSED = "which Python refuses at some rates"


class RefuseRateArithmetic(TorchFunctionMode):
    """Raises where a learning rate that may be any number is divided by, or taken to a power.

    Args:
        settings: tensors that stand for Python numbers, by name; among them ``lr``.

    Raises:
        DifferenceError: it is.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._lr = settings["lr"]
        self._settings = {id(value): value for value in settings.values()}
        self._of_lr = {id(self._lr): self._lr}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        if not tensors or any(id(tensor) not in self._settings for tensor in tensors):
            return result
        if any(id(tensor) in self._of_lr for tensor in tensors):
            self._check(func.__name__.strip("_"), (*args, *(kwargs or {}).values()))
            self._of_lr |= {id(v): v for v in tree_leaves(result) if isinstance(v, Tensor)}
        self._settings |= {id(v): v for v in tree_leaves(result) if isinstance(v, Tensor)}
        return result

    def _check(self, name: str, args: tuple[Any, ...]) -> None:
        if name in REVERSED:
            name, args = REVERSED[name], args[::-1]
        if name in OTHERS:
            name, args = "pow", (args[0], OTHERS[name])
        if name in DIVISIONS and id(args[1]) in self._of_lr:
            raise DifferenceError(f"its rule divides by its learning rate, {REFUSED}")
        if name in POWERS and not self._is_defined(*args[:2]):
            raise DifferenceError(f"its rule takes its learning rate to a power, {REFUSED}")

    def _is_defined(self, base: Any, exponent: Any) -> bool:
        """Return whether a power is a number for all learning rates of at least 0."""
        if id(base) not in self._of_lr:
            return not isinstance(base, Tensor) and base > 0
        if isinstance(exponent, Tensor) or exponent < 0:
            return False
        return base is self._lr or float(exponent).is_integer()
