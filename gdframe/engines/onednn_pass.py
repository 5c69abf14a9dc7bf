"""Large matrix products by oneDNN, where it is faster than the BLAS that PyTorch uses.

Intel's MKL is the BLAS of PyTorch's builds for x86. On AMD's processors with AVX-512 it uses half
the vector width. oneDNN, which comes with PyTorch too, uses all of it and takes half the time.
Inductor calls oneDNN only for weights that never change. The pass over Inductor's graph in this
file makes it call oneDNN for trained weights too.
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
"""Fewest multiplications in a matrix product for which the call through Python pays off."""


def _product(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``a @ b + bias`` of float32 matrices (rows, inner) and (inner, columns)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")
    return product


def _empty(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


@cache
def _register() -> Any:
    """Register ``gdframe::product`` with PyTorch, once; return its library, which must stay alive.

    Compiled code of an earlier process, read from the cache, calls the operation too.
    """
    library: Any = torch.library.Library("gdframe", "DEF")  # type: ignore[no-untyped-call]
    library.define("product(Tensor a, Tensor b, Tensor? bias) -> Tensor")
    library.impl("product", _product, "CPU")
    torch.library.register_fake("gdframe::product", _empty, lib=library)
    return library


class OneDNN(CustomGraphPass):
    """Replaces large float32 matrix products on the CPU in a graph that Inductor compiles."""

    def __init__(self) -> None:
        _register()

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Replace large matrix products of the graph in place."""
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
        """Return the version of this pass, for the cache of compiled code."""
        return get_hash_for_files((__file__,))


def _is_large(a: Tensor, b: Tensor) -> bool:
    sizes = (*a.shape, b.shape[1])
    if a.dtype != torch.float32 or a.device.type != "cpu":
        return False
    return all(isinstance(size, int) for size in sizes) and sizes[0] * sizes[1] * sizes[2] >= LEAST


@cache
def is_faster() -> bool:
    """Return whether oneDNN should be faster than the BLAS: than MKL, on AMD with AVX-512."""
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
    except OSError:  # not Linux
        return platform.processor()
    return next((line for line in lines if line.startswith("vendor_id")), "")
