"""Products of an objective's Hessian with vectors, at one point and on fixed rows.

The gradient's graph is built once; a product differentiates the gradient's inner product with the
vector, which costs about two gradients (Pearlmutter, "Fast exact multiplication by the Hessian",
1994). Any module works whose operations can be differentiated twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.rows import Rows
from gdframe.diagnostics.typed_objective import TypedObjective
from gdframe.objective import Objective

Array = NDArray[np.float64]

DIFFERENCE, ALIKE = 1e-6, 0.2
"""Step of a difference of gradients, relative; how far a product may be from it: kinks lie between
its ends now and then."""


class Hessian:
    """The Hessian of an objective.

    Args:
        objective: model, loss and penalty.
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
        function = TypedObjective(objective, parameters, rows, dtype)

        def gradient(leaves: list[Tensor], *, create_graph: bool) -> list[Tensor | None]:
            with torch.enable_grad():
                value = function(dict(zip(parameters, leaves, strict=True)))
                return list(
                    torch.autograd.grad(value, leaves, create_graph=create_graph, allow_unused=True)
                )

        self._gradient = gradient
        slopes = gradient(self._leaves, create_graph=True)
        # a parameter the gradient of which is constant has no second derivative
        self._slopes = [g for g in slopes if g is not None and g.requires_grad]
        self._at = [i for i, g in enumerate(slopes) if g is not None and g.requires_grad]

    def check(self) -> None:
        """Compare a product with a difference of gradients.

        Raises:
            ArithmeticError: they differ: an operation of the model has no second derivative.
        """
        draw = np.random.default_rng(0).standard_normal(self.size)
        vector = draw / np.linalg.norm(draw)
        largest = max(float(leaf.detach().abs().max()) for leaf in self._leaves)
        step = DIFFERENCE * (1.0 + largest)
        ends = []
        for sign in (1.0, -1.0):
            pieces = self._pieces(sign * step * vector)
            moved = [
                (leaf.detach() + piece).requires_grad_()
                for leaf, piece in zip(self._leaves, pieces, strict=True)
            ]
            ends.append(self._flat(self._gradient(moved, create_graph=False)))
        expected, product = (ends[0] - ends[1]) / (2 * step), self(vector)
        size = max(float(np.linalg.norm(expected)), float(np.linalg.norm(product)))
        noise = 1e-9 * max(float(np.linalg.norm(end)) for end in ends) / step
        if float(np.linalg.norm(product - expected)) > ALIKE * size + noise:
            raise ArithmeticError("an operation of the model has no second derivative")

    def _pieces(self, vector: Array) -> list[Tensor]:
        """Return a vector (size,) as tensors of the parameters' shapes."""
        like = self._leaves[0]
        flat = torch.from_numpy(np.ascontiguousarray(vector)).to(like.device, like.dtype)
        pieces = torch.split(flat, [leaf.numel() for leaf in self._leaves])
        return [piece.view_as(leaf) for piece, leaf in zip(pieces, self._leaves, strict=True)]

    def _flat(self, parts: Sequence[Tensor | None]) -> Array:
        """Return tensors of the parameters' shapes as a vector (size,)."""
        whole = [
            torch.zeros_like(leaf) if part is None else part
            for leaf, part in zip(self._leaves, parts, strict=True)
        ]
        image: Array = torch.cat([p.reshape(-1) for p in whole]).detach().double().cpu().numpy()
        return image

    def __call__(self, vector: Array) -> Array:
        """Return the Hessian times a vector (size,).

        Raises:
            ArithmeticError: the product is not finite.
        """
        pieces = self._pieces(vector)
        directions = [pieces[i] for i in self._at]
        if not directions:
            return np.zeros(self.size)
        # with ``grad_outputs``, PyTorch would import SymPy first, which takes half a second
        products = zip(self._slopes, directions, strict=True)
        with torch.enable_grad():
            along = torch.stack([(slope * d).sum() for slope, d in products]).sum()
        image = self._flat(
            torch.autograd.grad(along, self._leaves, retain_graph=True, allow_unused=True)
        )
        if not np.isfinite(image).all() and np.isfinite(vector).all():
            raise ArithmeticError("the second derivative is not finite there")
        return image
