"""Update rules that are linear maps on a quadratic: when they are stable, and how fast.

Where the gradient of a parameter is ``c * p``, gradient descent and its momentum relatives send
(parameter, state) to a matrix times (parameter, state). The matrix is read off the rule's own pure
function, so that a rule of your own gets its limit as the built-in ones do. The rule is stable
where the matrix's spectral radius is at most one, and the radius is the factor by which it
converges.

Source: Polyak, "Introduction to Optimization" (1987), chapter 3. For gradient descent the limit is
``lr * c = 2``, for heavy-ball momentum ``2 (1 + beta)``, for Nesterov's
``(2 + 2 beta) / (1 + 2 beta)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdframe.optimizers.base import Optimizer

Array = NDArray[np.float64]

_linear: dict[Any, bool] = {}
_products: dict[Any, float] = {}
"""What was found of rules, by class and hyperparameters but for the learning rate."""

_limits: dict[Any, float] = {}
"""Largest curvatures, by these and the learning rate."""

GRID = np.geomspace(1e-6, 1e6, 4001)
"""Products of learning rate and curvature at which stability is tried."""


class LinearRule:
    """An update rule on quadratics.

    Args:
        optimizer: of which the first parameter group counts.

    Example:
        >>> from gdframe.optimizers import GD
        >>> rule = LinearRule.of(GD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
        >>> round(rule.limit, 6)  # lr * curvature < 2
        20.0
    """

    def __init__(self, optimizer: Optimizer) -> None:
        group = optimizer.param_groups[0]
        self._rule = type(optimizer)
        self.hyper: dict[str, Any] = {k: v for k, v in group.items() if k != "params"}
        self.lr = float(group["lr"])
        rest = sorted((k, repr(v)) for k, v in self.hyper.items() if k != "lr")
        self._key = (self._rule, *rest)

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer) -> LinearRule | None:
        """Return the rule, or None where it is no linear map: adaptive and clipped ones are not."""
        if not isinstance(optimizer, Optimizer):
            return None
        if optimizer.param_groups[0].get("clip_norm") is not None:
            return None
        rule = cls(optimizer)
        if rule._key not in _linear:
            try:
                _linear[rule._key] = rule.lr > 0 and rule._is_linear()
            except Exception:  # it looks at more than one number at a time, or is not whole
                _linear[rule._key] = False
        return rule if rule.lr > 0 and _linear[rule._key] else None

    @property
    def limit(self) -> float:
        """The largest curvature at which the rule is stable with its learning rate.

        Infinite where none is found.
        """
        key = (self._key, self.lr)
        if key not in _limits:
            try:
                _limits[key] = self._limit()
            except Exception:  # the rule will not have this rate, and says so in training
                _limits[key] = math.inf
        return _limits[key]

    def _limit(self) -> float:
        product = _products.get(self._key)
        if product is not None:  # as a rule it is the same for all learning rates
            at = np.array([1 - 1e-4, 1 + 1e-4]) * product / self.lr
            inside, outside = self.radii(at)
            if inside <= 1 + 1e-9 < outside:
                return product / self.lr
        found = self._search()
        if math.isfinite(found):
            _products[self._key] = found * self.lr
        return found

    def _search(self) -> float:
        curvatures = GRID / self.lr
        unstable = self.radii(curvatures) > 1 + 1e-9
        if not unstable.any():
            return math.inf
        first = int(unstable.argmax())
        low, high = curvatures[first - 1] if first else 0.0, curvatures[first]
        for _ in range(60):
            middle = (low + high) / 2
            stable = self.radii(np.array([middle]))[0] <= 1 + 1e-9
            low, high = (middle, high) if stable else (low, middle)
        return float(low)

    def radii(self, curvatures: Array) -> Array:
        """Return the spectral radius at each curvature, (curvatures,)."""
        found: Array = np.abs(np.linalg.eigvals(self._matrices(curvatures))).max(axis=1)
        return found

    @property
    def gain(self) -> float:
        """How far a gradient moves the parameter in the end, in steps of gradient descent.

        One for gradient descent, ``1 / (1 - beta)`` for heavy-ball and Nesterov momentum. Where
        the rate is small beside the limit, the rule is gradient descent at a rate so much larger.
        """
        still, slope = self._matrices(np.array([0.0, 1.0]))  # the matrix is linear in the curvature
        pushed = (slope - still)[:, 0]  # what a gradient of one does
        moved = np.linalg.matrix_power(still, 1 << 20) @ pushed
        return float(-moved[0] / self.lr)

    def _matrices(self, curvatures: Array) -> Array:
        """Return the map of (parameter, state) at each curvature, (curvatures, size, size)."""
        columns = [self._apply(row, curvatures) for row in np.eye(self._size)]
        return np.stack(columns, axis=2)

    @property
    def _size(self) -> int:
        return 1 + len(self._rule.init_state([torch.zeros(1)]))

    def _apply(self, vector: Array, curvatures: Array) -> Array:
        """Return (parameter, state) after an update, for each curvature, (curvatures, size)."""
        shape = len(curvatures)
        place = [torch.full((shape,), float(value), dtype=torch.float64) for value in vector]
        names = list(self._rule.init_state([place[0]]))
        state = {name: [value] for name, value in zip(names, place[1:], strict=True)}
        (param,), new = self._rule.update(
            [place[0]], [place[0] * torch.from_numpy(curvatures)], state, self.hyper
        )
        return np.stack([param.numpy(), *(new[name][0].numpy() for name in names)], axis=1)

    def _is_linear(self) -> bool:
        """Say whether sums go to sums, and zero to zero."""
        rng = np.random.default_rng(0)
        one, other = rng.normal(size=(2, self._size))
        at = np.array([0.3, 1.7]) / self.lr
        parts = self._apply(one, at), self._apply(-2 * other, at), self._apply(one - 2 * other, at)
        still = self._apply(np.zeros(self._size), at)
        return bool(np.allclose(parts[0] + parts[1], parts[2], rtol=1e-9) and not still.any())
