"""A compiled loop as a file of machine code, which later processes load without a compiler.

A file is named by a digest of all that it was compiled from: the operations of a pass, the types
and shapes of its tensors, and the versions of PyTorch, gdframe's loop and the processor. The first
steps of each process are compared with the plain loop all the same.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdframe.engines.executed_operations import RefuseReading
from gdframe.engines.inductor import VECTORS, compiling, options
from gdframe.engines.onednn import is_faster, register_product
from gdframe.engines.processor import processor_facts
from gdframe.runs.files import cache_folder, write_atomically

MOST_PACKAGES = 256
"""Most files in the cache, of about a MB each; those that were loaded last stay."""

SOURCES = ("loop_package.py", "inductor.py", "onednn.py", "onednn_pass.py")
"""Files beside this one that compiled code depends on."""


class Pass:
    """A pass of a loop, as a function of a flat list of tensors.

    Args:
        function: takes carried tensors, inputs of the pass and constants; returns the carried
            tensors after the pass and its results. It changes none of its arguments.
        carried: number of the tensors that the loop carries.
        inputs: number of the tensors with an entry for each pass.
        varying: which of all arguments may have another first dimension, of two or more.
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        *,
        carried: int,
        inputs: int,
        varying: Sequence[bool],
    ) -> None:
        self.function, self.carried, self.inputs = function, carried, inputs
        self.varying = list(varying)

    def arguments(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the arguments of the first pass of a loop; constants, which are large, stay."""
        first, last = self.carried, self.carried + self.inputs
        carried = [tensor.clone() for tensor in tensors[:first]]
        return [*carried, *(tensor[0].clone() for tensor in tensors[first:last]), *tensors[last:]]


class LoopPackage:
    """Compiled code of a loop over passes, from the cache or compiled again.

    Args:
        one_pass: what the loop repeats.
        operations: text of the operations of a pass.
        tensors: arguments of the loop, contiguous.

    Raises:
        Exception: of PyTorch, which cannot trace or compile the pass.
    """

    def __init__(self, one_pass: Pass, operations: str, tensors: Sequence[Tensor]) -> None:
        self._pass, self._tensors = one_pass, tensors
        folder = cache_folder("loops")
        name = f"{_digest(one_pass, operations, tensors)}.pt2"
        self._path = None if folder is None else folder / name
        self.is_from_cache = self._path is not None and self._load(self._path)
        if not self.is_from_cache:
            self.compile()

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the carried tensors after all passes, and the results of each pass."""
        results: list[Tensor] = self._code.boxed_run([t.contiguous() for t in tensors])
        return results

    def compile(self) -> None:
        """Compile the loop, and write it into the cache if that is possible."""
        self.is_from_cache = False
        with tempfile.TemporaryDirectory(prefix="gdframe-") as folder:
            made = Path(folder) / "loop.pt2"
            with _intermediate_files_in(folder), compiling():
                _compile(self._pass, self._tensors, made)
            if self._path is not None:
                with suppress(OSError):  # such as a full disk
                    write_atomically(self._path, made.read_bytes(), flush="nothing")
                    _remove_oldest(self._path.parent)
            if not self._load(made):
                raise RuntimeError("its compiled code cannot be loaded")

    def _load(self, path: Path) -> bool:
        """Load compiled code; return False where there is none, or it is damaged."""
        if not path.is_file():
            return False
        if is_faster():
            register_product()  # which the code may call
        try:
            self._code: Any = torch._C._aoti.AOTIModelPackageLoader(
                str(path), "model", False, 1, -1
            )
            os.utime(path)
        except (OSError, RuntimeError):  # the latter of PyTorch
            return False
        return True


class _Loop(nn.Module):
    """The loop as a module, in the form that PyTorch exports."""

    def __init__(self, traced: nn.Module, carried: int, inputs: int) -> None:
        super().__init__()
        self.traced, self.ends = traced, (carried, carried + inputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Execute all passes."""
        from torch._higher_order_ops import scan

        first, last = self.ends
        constants = tensors[last:]

        def one_pass(carried: Any, inputs: Any) -> Any:
            results = self.traced(*carried, *inputs, *constants)
            return tuple(results[:first]), tuple(results[first:])

        begin = tuple(tensor.clone() for tensor in tensors[:first])
        carried, results = scan(one_pass, begin, tensors[first:last])
        return (*carried, *results)


@torch.no_grad()
def _compile(one_pass: Pass, tensors: Sequence[Tensor], path: Path) -> None:
    """Compile a loop into a file."""
    from torch.fx.experimental.proxy_tensor import make_fx  # this imports Dynamo and Inductor

    with RefuseReading():
        traced = make_fx(one_pass.function)(*one_pass.arguments(tensors))
    shapes = [{0: torch.export.Dim.DYNAMIC} if varies else None for varies in one_pass.varying]
    exported = torch.export.export(
        _Loop(traced, one_pass.carried, one_pass.inputs),
        tuple(tensors),
        dynamic_shapes={"tensors": tuple(shapes)},
        strict=False,
    )
    inductor: Any = torch._inductor
    chosen = options(to_file=True)
    try:
        inductor.aoti_compile_and_package(
            exported, package_path=str(path), inductor_configs=dict(chosen)
        )
    except Exception as error:
        if type(error).__name__ != "CppCompileError":
            raise
        chosen[VECTORS] = None  # the compiler may know fewer instructions than the processor
        inductor.aoti_compile_and_package(exported, package_path=str(path), inductor_configs=chosen)


def _digest(one_pass: Pass, operations: str, tensors: Sequence[Tensor]) -> str:
    """Return a digest of all that compiled code depends on."""
    forms = [
        (tuple(tensor.shape[varies:]), tensor.stride()[varies:], tensor.dtype)
        for tensor, varies in zip(tensors, one_pass.varying, strict=True)
    ]
    facts = processor_facts()
    machine = [facts.get(name, "") for name in ("vendor_id", "model name", "flags")]
    parts = [
        operations, forms, one_pass.carried, one_pass.inputs, one_pass.varying, machine,
        torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability(),
        *(Path(__file__).with_name(name).read_bytes() for name in SOURCES),
    ]  # fmt: skip
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


@contextmanager
def _intermediate_files_in(folder: str) -> Iterator[None]:
    """Let Inductor write its intermediate files into a folder, unless the user named another."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = folder
    try:
        yield
    finally:
        os.environ.pop(name, None)


def _remove_oldest(folder: Path) -> None:
    """Remove the packages that were loaded the longest time ago."""
    packages = sorted(folder.glob("*.pt2"), key=lambda path: path.stat().st_mtime)
    for path in packages[:-MOST_PACKAGES]:
        path.unlink(missing_ok=True)
