"""The objective in another type than the run's, without becoming another function.

In another type a feature may lie on the other side of a threshold: 0.1 is above 0.1 where it was
rounded to float32. What a linear model is linear in is therefore computed in the run's type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from gdframe.data.rows import Rows
from gdframe.engines.probe import is_linear
from gdframe.objective import FunctionalObjective, Objective, evaluation_mode
from gdframe.registry import is_built_in

NOISE, ALIKE = 0.1, 1e-3
"""Noise of outputs, in units of one plus the largest; largest difference of gradients, relative."""


class TypedObjective:
    """The objective over rows as a function of parameters of a type, in evaluation mode.

    Args:
        objective: model, loss and penalty.
        names: of the parameters that each call is given; all others are constants.
        rows: encoded; of a Function they do not matter.
        dtype: of the parameters.
    """

    def __init__(
        self, objective: Objective, names: Iterable[str], rows: Rows, dtype: torch.dtype
    ) -> None:
        self._function = FunctionalObjective(objective, names, dtype=dtype)
        self._model, y = objective.model, rows.targets
        self._targets = y.to(dtype) if y.is_floating_point() else y
        self._is_linear, features = is_linear(self._model, rows.features), rows.features
        if self._is_linear:
            with torch.no_grad(), evaluation_mode(self._model):
                features = self._model.design(features)  # type: ignore[operator]
            self._fixed = {n: p.detach().to(dtype) for n, p in self._model.named_parameters()}
        self._features = features.to(dtype)

    def outputs(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the model's outputs (rows, outputs) at parameters; of a Function its value."""
        if self._is_linear:
            values = {**self._fixed, **parameters}
            return torch.nn.functional.linear(self._features, values["weight"], values.get("bias"))
        with evaluation_mode(self._model):
            return self._function.outputs(parameters, self._features)

    def __call__(self, parameters: Mapping[str, Tensor], noise: Tensor | float = 0.0) -> Tensor:
        """Return the objective at parameters, a 0-d tensor, with noise added to the outputs."""
        loss = self._function.mean_loss(self.outputs(parameters) + noise, self._targets)
        return loss + self._function.penalty_at(parameters)


def is_same_in_double(objective: Objective, parameters: Mapping[str, Tensor], rows: Rows) -> bool:
    """Return whether an objective near a point is the same function in float64, up to rounding.

    With noise added to the outputs, the gradients in both types are compared: without it they
    are all rounding at a minimum. gdframe's own components are known to be the same.

    Args:
        objective: model, loss and penalty; of a Function nothing is compared.
        parameters: the point, by name; those that are trained.
        rows: encoded.
    """
    components = objective.components.values()
    own = next(iter(parameters.values())).dtype
    if own == torch.float64 or objective.loss is None or all(map(is_built_in, components)):
        return True
    random, noise, gradients = torch.Generator().manual_seed(0), None, []
    try:
        for dtype in (own, torch.float64):
            leaves = {n: p.detach().to(dtype).requires_grad_() for n, p in parameters.items()}
            function = TypedObjective(objective, leaves, rows, dtype)
            if noise is None:
                z = function.outputs(leaves).detach()
                noise = torch.randn(z.shape, generator=random).to(z) * NOISE * (1 + z.abs().max())
            value = function(leaves, noise.to(dtype))
            slopes = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
            pairs = zip(slopes, leaves.values(), strict=True)
            flat = [(torch.zeros_like(p) if s is None else s).reshape(-1) for s, p in pairs]
            gradients.append(torch.cat(flat).double())
    except Exception:  # a user's component may take one type alone
        return False
    return bool((gradients[0] - gradients[1]).norm() <= ALIKE * gradients[1].norm())
