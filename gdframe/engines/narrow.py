"""Linear layers of one input or one output, as products and sums that a compiler can fuse.

A matrix product is a library call, which costs more than the arithmetic of a vector.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn


class Narrow(nn.Linear):
    """A layer that computes what ``nn.Linear`` does, up to the order of its sums."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """(..., inputs) -> (..., outputs)."""
        if self.in_features == 1:
            outputs = input * self.weight[:, 0]
        else:
            outputs = (input * self.weight[0]).sum(dim=-1, keepdim=True)
        return outputs if self.bias is None else outputs + self.bias


def narrowed(model: nn.Module) -> nn.Module:
    """Return a copy of a model with ``Narrow`` layers of one input or output; itself without any.

    The copy is for calls that pass all parameters: its own parameters are never read.
    """
    if not any(_is_narrow(module) for module in model.modules()):
        return model
    try:
        copied = copy.deepcopy(model)
    except (RuntimeError, TypeError, ValueError, AttributeError):  # a part cannot be copied
        return model
    for module in copied.modules():
        if _is_narrow(module):
            module.__class__ = Narrow
    return copied


def _is_narrow(module: nn.Module) -> bool:
    return type(module) is nn.Linear and 1 in (module.in_features, module.out_features)
