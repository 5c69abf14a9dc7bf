"""Matrix products by oneDNN, where it is faster than the BLAS that PyTorch uses.

Intel's MKL is the BLAS of PyTorch's builds for x86. On AMD's processors with AVX-512 it uses half
the vector width. oneDNN, which comes with PyTorch too, uses all of it and takes half the time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from gdframe.engines.processor import processor_facts


def _product(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``a @ b + bias`` of float32 matrices (rows, inner) and (inner, columns)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")
    return product


def _empty(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


@cache
def register_product() -> None:
    """Register ``gdframe::product`` with PyTorch, once.

    Compiled code of an earlier process, read from the cache, calls the operation too.
    """
    name = "gdframe::product"
    torch.library.define(name, "(Tensor a, Tensor b, Tensor? bias) -> Tensor")
    torch.library.impl(name, "cpu", _product)
    torch.library.register_fake(name, _empty)


@cache
def is_faster() -> bool:
    """Return whether oneDNN should be faster than the BLAS: than MKL, on AMD with AVX-512."""
    backends: Any = torch.backends
    return (
        backends.mkl.is_available()
        and backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "AMD" in processor_facts().get("vendor_id", "")
    )
