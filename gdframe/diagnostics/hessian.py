"""Products of an objective's Hessian with vectors, at one point and on fixed rows.

The gradient's graph is built once; a product differentiates the gradient's inner product with the
vector, which costs about two gradients (Pearlmutter, "Fast exact multiplication by the Hessian",
1994). Any module works whose operations can be differentiated twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from gdframe.data.dataset import Rows
from gdframe.objective import Objective

Array = NDArray[np.float64]


class Hessian:
    """The Hessian of an objective.

    Args:
        objective: with the model in the mode it is evaluated in.
        parameters: the point, by name; those that are trained.
        rows: encoded; of a Function they do not matter.
        dtype: in which products are computed.

    Example:
        >>> from gdframe.data.dataset import Dataset
        >>> from gdframe.models import Quadratic
        >>> objective = Objective(Quadratic(condition_number=10.0))
        >>> hessian = Hessian(objective, dict(objective.model.named_parameters()),
        ...                   Dataset.none().train, dtype=torch.float64)
        >>> hessian.size
        2
    """

    def __init__(
        self, objective: Objective, parameters: Mapping[str, Tensor], rows: Rows, dtype: torch.dtype
    ) -> None:
        self._leaves = [p.detach().to(dtype).requires_grad_() for p in parameters.values()]
        self.size = sum(leaf.numel() for leaf in self._leaves)
        model, loss = objective.model, objective.loss
        named = dict(zip(parameters, self._leaves, strict=True))
        buffers = {k: b.to(dtype) if b.is_floating_point() else b for k, b in model.named_buffers()}
        training = model.training
        model.eval()
        try:
            with torch.enable_grad():
                if loss is None:
                    value: Tensor = functional_call(model, {**named, **buffers}, ())
                else:
                    features = rows.features.to(dtype)
                    y = rows.targets
                    targets = y.to(dtype) if y.is_floating_point() else y
                    value = loss(functional_call(model, {**named, **buffers}, (features,)), targets)
                chosen = {id(p) for p in objective.penalized}
                own = {n for n, p in model.named_parameters() if id(p) in chosen}
                if weights := [leaf for name, leaf in named.items() if name in own]:
                    value = value + objective.penalty.value(weights)
                found = torch.autograd.grad(
                    value, self._leaves, create_graph=True, allow_unused=True
                )
        finally:
            model.train(training)
        # a parameter the gradient of which is constant has no second derivative
        self._slopes = [g for g in found if g is not None and g.requires_grad]
        self._at = [i for i, g in enumerate(found) if g is not None and g.requires_grad]

    def __call__(self, vector: Array) -> Array:
        """Return the Hessian times a vector (size,)."""
        like = self._leaves[0]
        flat = torch.from_numpy(np.ascontiguousarray(vector)).to(like.device, like.dtype)
        pieces = torch.split(flat, [leaf.numel() for leaf in self._leaves])
        directions = [pieces[i].view_as(self._leaves[i]) for i in self._at]
        if not directions:
            return np.zeros(self.size)
        found = torch.autograd.grad(
            self._slopes, self._leaves, directions, retain_graph=True, allow_unused=True
        )
        parts = [
            torch.zeros_like(leaf) if part is None else part
            for leaf, part in zip(self._leaves, found, strict=True)
        ]
        image: Array = torch.cat([p.reshape(-1) for p in parts]).double().cpu().numpy()
        return image
