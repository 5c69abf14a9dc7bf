"""A loop over passes as compiled code: of this process on a GPU, from a file on a CPU."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from gdframe.engines.executed_operations import ExecutedOperations, RefuseReading
from gdframe.engines.inductor import cloned, compiling, options
from gdframe.engines.inexact import InexactOperationError
from gdframe.engines.loop_package import LoopPackage, Pass

Function = Callable[[Any, Any, Any], tuple[Any, tuple[Tensor, ...]]]
"""Takes what a loop carries, inputs and constants, nested tensors; returns what is carried after,
and results."""

PACKAGED = ("cpu",)
"""Types of devices whose loops are files; elsewhere PyTorch compiles in each process."""

NOISE = 0.1
"""Deviation of other values, relative to one plus the value."""

_number = count()


class CompiledLoop:
    """A function that is repeated, each time with the next entry of its inputs.

    Args:
        one_pass: the function; it changes none of its arguments.
        carried: example of what the loop carries.
        inputs: examples, with an entry for each pass: one, or two for any number from two on.
        constants: example of what all passes see.
        rows: how many tensors at the end of the constants have any number of rows.

    Raises:
        InexactOperationError: the function uses an operation that is compiled otherwise.
        Exception: of PyTorch, which cannot trace or compile the function.
    """

    def __init__(
        self, one_pass: Function, carried: Any, inputs: Any, constants: Any, *, rows: int
    ) -> None:
        self._one_pass, parts = one_pass, (carried, inputs, constants)
        sizes = [len(tree_leaves(part)) for part in parts]
        tensors, self._form = tree_flatten(parts)
        self._carried, self._carried_form = sizes[0], tree_flatten(carried)[1]
        varying = [False] * sizes[0] + [len(inputs[0]) > 1] * sizes[1]
        varying += [False] * (sizes[2] - rows) + [True] * rows
        flat = Pass(self._flat_pass, carried=sizes[0], inputs=sizes[1], varying=varying)
        operations = self._operations(flat.arguments(tensors))
        others, changing = flat.arguments(tensors), sizes[0] + sizes[1]
        others[:changing] = map(_other_values, others[:changing], range(changing))
        if self._operations(others) != operations:
            raise InexactOperationError(
                "other operations for other values, which compiled code does not follow"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns about its own prototypes
            if tensors[0].device.type in PACKAGED:
                contiguous = [tensor.contiguous() for tensor in tensors]
                self._package = LoopPackage(flat, operations, contiguous)
                self._loop: Callable[..., Any] = self._from_package
            else:
                with compiling():
                    self._loop = _compiled_in_process(one_pass)
                    self(*parts)

    @torch.no_grad()
    def __call__(self, carried: Any, inputs: Any, constants: Any) -> tuple[Any, list[Tensor]]:
        """Return what is carried after all passes, and the results of the passes."""
        after, results = self._loop(carried, inputs, constants)
        return after, list(results)

    def compile_again(self) -> bool:
        """Compile what an earlier process compiled; return False if this process compiled it."""
        if self._loop != self._from_package or not self._package.is_from_cache:
            return False
        self._package.compile()
        return True

    @torch.no_grad()
    def _operations(self, arguments: list[Tensor]) -> str:
        """Return the operations of a pass as text."""
        with RefuseReading(), ExecutedOperations(arguments) as executed:
            results = self._flat_pass(*arguments)
        text: str = executed.text(results)
        return text

    def _flat_pass(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        after, results = self._one_pass(*tree_unflatten(list(tensors), self._form))
        return (*tree_leaves(after), *results)

    def _from_package(self, *parts: Any) -> tuple[Any, list[Tensor]]:
        results = self._package(tree_leaves(parts))
        after = tree_unflatten(results[: self._carried], self._carried_form)
        return after, results[self._carried :]


def _other_values(tensor: Tensor, number: int) -> Tensor:
    """Return a tensor with other values near those of a tensor; of row numbers another order."""
    if not tensor.is_floating_point():
        return tensor.flip(-1) if tensor.ndim > 1 else tensor
    random = torch.Generator().manual_seed(number)
    noise = torch.randn(tensor.shape, generator=random, dtype=torch.float64)
    return tensor + (NOISE * noise).to(tensor) * (1 + tensor.abs())


def _compiled_in_process(one_pass: Function) -> Callable[..., Any]:
    """Return the loop, which is compiled when it is called first."""
    from torch._higher_order_ops import scan

    def loop(carried: Any, inputs: Any, constants: Any) -> Any:
        def step(carried: Any, inputs: Any) -> Any:
            return one_pass(carried, inputs, constants)

        return scan(step, cloned(carried), inputs)

    def called(carried: Any, inputs: Any, constants: Any) -> Any:
        for tensor in inputs:  # all lengths of two and more share one compilation
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return compiled(carried, inputs, constants)

    # PyTorch limits how often one code object is compiled, so each loop has its own
    name = f"gdframe_loop_{next(_number)}"
    code = loop.__code__.replace(co_name=name)
    copy = types.FunctionType(code, loop.__globals__, name, None, loop.__closure__)
    compiled = torch.compile(copy, fullgraph=True, options=options(to_file=False))
    return called
