"""The operations that a function executes, as text: equal texts mean equal compiled code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from gdframe.engines.inexact import InexactOperationError, RefuseInexact

READING = ("numpy", "__array__", "tolist", "data_ptr", "untyped_storage", "storage", "__dlpack__")
"""Methods of tensors that read values, or where they lie, without an operation of PyTorch."""


class RefuseReading(TorchFunctionMode):
    """Refuses code that reads values inside the context without an operation of PyTorch.

    Raises:
        InexactOperationError: code does so, or sets the memory of a tensor.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = "data" if func == Tensor.data.__set__ else getattr(func, "__name__", "")  # type: ignore[attr-defined]
        if name == "data" or name in READING:
            raise InexactOperationError(
                f"values or memory of a tensor ({name}), which compiled code does not follow"
            )
        return func(*args, **(kwargs or {}))


class ExecutedOperations(RefuseInexact):  # type: ignore[no-untyped-call]
    """Records PyTorch's operations inside the context, and refuses those that are inexact.

    A tensor is named by where it comes from: an argument, a result, or, for any other, its values.
    So the text also holds the values of constants, such as a model's buffers.

    Args:
        arguments: tensors that may have other values when the function is called again; the text
            does not hold their shapes.
    """

    def __init__(self, arguments: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lines: list[str] = []
        self._named: dict[int, tuple[str, Tensor]] = {}  # by id, which lasts as the tensor is held
        for number, tensor in enumerate(arguments):
            self._named[id(tensor)] = f"argument {number}", tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = self._text((args, kwargs or {}))
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self._lines.append(f"{func}: {operands}")
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and id(value) not in self._named:
                name = f"result {len(self._named)}"
                self._named[id(value)] = name, value
                self._lines.append(f"{name}: {_form(value)}")
        return result

    def text(self, results: Any) -> str:
        """Return the text of the operations and of the results of the function."""
        return "\n".join([*self._lines, self._text(results)])

    def _text(self, value: Any) -> str:
        if isinstance(value, Tensor):
            if id(value) in self._named:
                return self._named[id(value)][0]
            values = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            return f"{_form(value)} {hashlib.blake2b(values.tobytes()).hexdigest()}"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{k!r}: {self._text(v)}' for k, v in value.items())}}}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(self._text, value))}]"
        return repr(value)


def _form(tensor: Tensor) -> str:
    """Return what code is compiled for: shape, strides, type and device."""
    return f"{tuple(tensor.shape)} {tensor.stride()} {tensor.dtype} {tensor.device}"
