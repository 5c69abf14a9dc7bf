"""Makes Inductor call oneDNN for large matrix products with trained weights.

Inductor calls oneDNN only for weights that never change.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

from gdframe.engines.onednn import register_product

LEAST = 1 << 21
"""Fewest multiplications in a matrix product for which the call through Python pays off."""


class OneDNN(CustomGraphPass):
    """Replaces large float32 matrix products on the CPU in a graph that Inductor compiles."""

    def __init__(self) -> None:
        register_product()

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
