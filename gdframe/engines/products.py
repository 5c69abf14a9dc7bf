"""Large matrix products by oneDNN, where that is faster than the BLAS that PyTorch uses.

Intel's MKL, the BLAS of PyTorch's builds for x86, uses half the vector width of AMD's processors
that have AVX-512; oneDNN, which comes with PyTorch too, uses all of it and takes half the time.
Inductor calls it for weights that never change alone. A pass over what Inductor is about to compile
has it called for those that are trained as well.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

LEAST = 1 << 21
"""Products of two numbers in a matrix product from which on the detour through Python pays."""


def _product(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``a @ b + bias`` of float32 matrices (rows, inner) and (inner, columns)."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")
    return found


def _empty(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


_library: Any = torch.library.Library("gdframe", "DEF")  # type: ignore[no-untyped-call]
_library.define("product(Tensor a, Tensor b, Tensor? bias) -> Tensor")
_library.impl("product", _product, "CPU")
torch.library.register_fake("gdframe::product", _empty, lib=_library)


class OneDNN(CustomGraphPass):
    """Replaces large float32 matrix products on the CPU in a graph that Inductor compiles."""

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Replace them in place."""
        aten = torch.ops.aten
        for node in list(graph.nodes):
            if node.target not in (aten.mm.default, aten.addmm.default) or node.kwargs:
                continue
            *bias, a, b = node.args
            if not _is_large(a.meta["val"], b.meta["val"]):
                continue
            row = bias[0] if bias and bias[0].meta["val"].ndim == 1 else None
            with graph.inserting_before(node):
                new = graph.call_function(torch.ops.gdframe.product.default, (a, b, row))
                new.meta = dict(node.meta)
                if bias and row is None:  # a whole matrix is added
                    new = graph.call_function(aten.add.Tensor, (new, bias[0]))
                    new.meta = dict(node.meta)
            node.replace_all_uses_with(new)
            graph.erase_node(node)

    def uuid(self) -> Any:
        """Tell this pass from another version of it, in the cache of what was compiled."""
        return get_hash_for_files((__file__,))


def _is_large(a: Tensor, b: Tensor) -> bool:
    sizes = (*a.shape, b.shape[1])
    if a.dtype != torch.float32 or a.device.type != "cpu":
        return False
    return all(isinstance(size, int) for size in sizes) and sizes[0] * sizes[1] * sizes[2] >= LEAST


@cache
def is_faster() -> bool:
    """Say whether oneDNN should be faster than the BLAS here: on AMD with AVX-512, beside MKL."""
    backends: Any = torch.backends
    return (
        backends.mkl.is_available()
        and backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "AMD" in _vendor()
    )


def _vendor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # no Linux
        return platform.processor()
    return next((line for line in lines if line.startswith("vendor_id")), "")
