"""Update rules that are linear maps on a quadratic: when they are stable, and how fast.

Where the gradient of a parameter is ``c * p``, gradient descent and its momentum relatives send
(parameter, state) to a matrix times (parameter, state). The matrix is read off the rule as it was
recorded from its own pure function, and compared with it, so that a rule of your own gets its limit
as the built-in ones do. A rule that cannot be recorded, or that treats parameters differently, has
no known limit. The rule is stable where the matrix's spectral radius is at most one, and the radius
is the factor by which it converges.

Source: Polyak, "Introduction to Optimization" (1987), chapter 3. For gradient descent the limit is
``lr * c = 2``, for heavy-ball momentum ``2 (1 + beta)``, for Nesterov's
``(2 + 2 beta) / (1 + 2 beta)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.engines.base import Problem
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.probe import why_not_stateless
from gdframe.engines.recording import rule_of
from gdframe.engines.rule import Rule
from gdframe.engines.stack import settings_of
from gdframe.engines.structure import why_not_pure

Array = NDArray[np.float64]

_linear: dict[Any, bool] = {}
_products: dict[Any, float] = {}
"""What is known of rules, by their arithmetic and hyperparameters but for the learning rate."""

_limits: dict[Any, float] = {}
"""Largest curvatures, by these and the learning rate."""

GRID = np.geomspace(1e-6, 1e6, 4001)
"""Products of learning rate and curvature at which stability is tried."""


class LinearRule:
    """An update rule on quadratics.

    Args:
        rule: as it was recorded.
        hyper: its hyperparameters by name.

    Example:
        >>> from gdframe.engines.base import Problem
        >>> from gdframe.models import Quadratic
        >>> from gdframe.objective import Objective
        >>> from gdframe.optimizers import GD
        >>> from gdframe.schedules import Constant
        >>> model = Quadratic()
        >>> run = Problem(Objective(model), GD(model.parameters(), lr=0.1), Constant(), seed=0)
        >>> round(LinearRule.of(run).limit, 6)  # lr * curvature < 2
        20.0
    """

    def __init__(self, rule: Rule, hyper: Mapping[str, Any]) -> None:
        self._rule = rule
        self._hyper = [float(hyper[name]) for name in rule.hyper]
        self.lr = float(hyper["lr"])
        rest = [v for name, v in zip(rule.hyper, self._hyper, strict=True) if name != "lr"]
        self._key = (rule, *rest)

    @classmethod
    def of(cls, run: Problem) -> LinearRule | None:
        """Return the rule, or None where it is no linear map: adaptive and clipped ones are not."""
        if why_not_pure(run) or why_not_stateless(run):
            return None
        (hyper,) = settings_of([run])
        if hyper["clip_norm"] is not None or not hyper["lr"] > 0:
            return None
        try:
            recorded = rule_of([run])
        except NotElementwiseError:
            return None
        if recorded.counters or not recorded.is_uniform:
            return None
        rule = cls(recorded, hyper)
        if rule._key not in _linear:
            _linear[rule._key] = rule._is_linear()
        return rule if _linear[rule._key] else None

    @property
    def limit(self) -> float:
        """The largest curvature at which the rule is stable with its learning rate.

        Infinite where none is found.
        """
        key = (self._key, self.lr)
        if key not in _limits:
            _limits[key] = self._limit()
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
        return 1 + len(self._rule.states)

    @np.errstate(all="ignore")  # a rule that is no linear map may divide by zero
    def _apply(self, vector: Array, curvatures: Array) -> Array:
        """Return (parameter, state) after an update, for each curvature, (curvatures, size)."""
        place = [np.full(len(curvatures), float(value)) for value in vector]
        _, point, states = self._rule.functions[0](
            place[0].dtype, place[0], place[0] * curvatures, place[1:], [], self._hyper
        )
        after = [np.broadcast_to(values, curvatures.shape) for values in (point, *states)]
        return np.stack(after, axis=1)

    def _is_linear(self) -> bool:
        """Say whether sums go to sums, and zero to zero."""
        rng = np.random.default_rng(0)
        one, other = rng.normal(size=(2, self._size))
        at = np.array([0.3, 1.7]) / self.lr
        parts = self._apply(one, at), self._apply(-2 * other, at), self._apply(one - 2 * other, at)
        still = self._apply(np.zeros(self._size), at)
        return bool(np.allclose(parts[0] + parts[1], parts[2], rtol=1e-9) and not still.any())
