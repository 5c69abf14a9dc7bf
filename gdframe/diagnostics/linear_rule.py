"""Stability and speed of update rules that are linear maps on a quadratic.

If the gradient of a parameter is ``c * p``, gradient descent and its momentum variants multiply
(parameter, state) by a matrix. The update rule is stable where the spectral radius of the matrix is
at most one. The radius is the factor by which the rule converges.

The matrix comes from the recorded update rule, so a user's rule gets its limit like a built-in one.
A rule that cannot be recorded, or that treats parameters differently, has no known limit.

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
from gdframe.engines.pure_rule import why_rule_not_pure
from gdframe.engines.recorded_rule import rule_of
from gdframe.engines.rule import Rule
from gdframe.engines.stack import settings_of
from gdframe.engines.structure import why_step_not_update

Array = NDArray[np.float64]

_linear: dict[Any, bool] = {}
"""True for linear rules, by arithmetic and hyperparameters without the learning rate."""

_usual: dict[Any, float] = {}
"""Largest stable products of learning rate and curvature, by the same keys: the last search's."""

_products: dict[Any, float] = {}
"""Largest stable products, by arithmetic and all hyperparameters."""

DIGITS = 8
"""Significant digits of a product: so many are the same at all learning rates."""

FASTER = 3.7
"""Factor of the learning rate by which a rule is compared with itself."""

GRID = np.geomspace(1e-6, 1e6, 4001)
"""Products of learning rate and curvature at which stability is checked."""


class LinearRule:
    """An update rule on quadratics.

    Args:
        rule: the recorded update rule.
        hyper: hyperparameters by name.

    Example:
        >>> from gdframe.engines.base import Problem
        >>> from gdframe.models import Quadratic
        >>> from gdframe.objective import Objective
        >>> from gdframe.optimizers import GD
        >>> from gdframe.schedules import Constant
        >>> model = Quadratic()
        >>> run = Problem(Objective(model), GD(model.parameters(), lr=0.1), Constant(), seed=0)
        >>> LinearRule.of(run).product  # lr * curvature < 2
        2.0
    """

    def __init__(self, rule: Rule, hyper: Mapping[str, Any]) -> None:
        self._rule = rule
        self._hyper = rule.values(hyper)
        self.lr = float(hyper["lr"])
        rest = [v for name, v in zip(rule.hyper, self._hyper, strict=True) if name != "lr"]
        self.key = (rule, *rest)

    @classmethod
    def of(cls, run: Problem) -> LinearRule | None:
        """Return the update rule of a run; None if it is not linear, e.g. adaptive or clipped.

        It is also None if it moves parameters without a gradient, as weight decay does, or if its
        stability depends on more than the product of learning rate and curvature.
        """
        if why_step_not_update(run) or why_rule_not_pure(run):
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
        if rule.key not in _linear:
            faster = cls(recorded, {**hyper, "lr": FASTER * rule.lr})
            _linear[rule.key] = rule._is_linear() and rule._rests() and rule._is_scaled(faster)
        return rule if _linear[rule.key] else None

    @property
    def product(self) -> float:
        """The largest product of learning rate and curvature at which the rule is stable.

        It is infinite if there is no limit.
        """
        key = (self.key, self.lr)
        if key not in _products:
            _products[key] = self._product()
        return _products[key]

    @np.errstate(all="ignore")  # a tiny learning rate makes curvatures overflow
    def _product(self) -> float:
        usual = _usual.get(self.key)
        if usual is not None:  # usually the same for all learning rates
            inside, outside = self.radii(np.array([1 - 1e-4, 1 + 1e-4]) * usual / self.lr)
            if inside <= 1 + 1e-9 < outside:
                return usual
        product = self._search() * self.lr
        if math.isfinite(product):
            product = _usual[self.key] = float(f"{product:.{DIGITS}g}")
        return product

    def _search(self) -> float:
        curvatures = GRID / self.lr
        is_unstable = self.radii(curvatures) > 1 + 1e-9
        if not is_unstable.any():
            return math.inf
        first = int(is_unstable.argmax())
        low, high = curvatures[first - 1] if first else 0.0, curvatures[first]
        for _ in range(60):
            middle = (low + high) / 2
            is_stable = self.radii(np.array([middle]))[0] <= 1 + 1e-9
            low, high = (middle, high) if is_stable else (low, middle)
        return float(low)

    def radii(self, curvatures: Array) -> Array:
        """Return the spectral radius at each curvature, (curvatures,)."""
        radii: Array = np.abs(np.linalg.eigvals(self.matrices(curvatures))).max(axis=1)
        return radii

    def matrices(self, curvatures: Array) -> Array:
        """Return the matrix on (parameter, state) at each curvature, (curvatures, size, size)."""
        columns = [self._apply(row, curvatures) for row in np.eye(self._size)]
        return np.stack(columns, axis=2)

    @property
    def _size(self) -> int:
        return 1 + len(self._rule.states)

    @np.errstate(all="ignore")  # a nonlinear rule may divide by zero
    def _apply(self, vector: Array, curvatures: Array) -> Array:
        """Return (parameter, state) after an update, for each curvature, (curvatures, size)."""
        parameter, *state = (np.full(len(curvatures), float(value)) for value in vector)
        _, updated, states = self._rule.functions[0](
            parameter.dtype, parameter, parameter * curvatures, state, [], self._hyper
        )
        after = [np.broadcast_to(values, curvatures.shape) for values in (updated, *states)]
        return np.stack(after, axis=1)

    def _rests(self) -> bool:
        """Return whether a parameter without a gradient stays where it is."""
        start = np.eye(self._size)[0]
        return bool(np.allclose(self._apply(start, np.zeros(1)), start, rtol=1e-12))

    def _is_scaled(self, faster: LinearRule) -> bool:
        """Return whether radii at another learning rate are those at the same products."""
        products = np.array([0.1, 0.7, 1.3, 5.0])
        slow, fast = (rule.radii(products / rule.lr) for rule in (self, faster))
        return bool(np.allclose(slow, fast, rtol=1e-9))

    @np.errstate(all="ignore")  # a tiny learning rate makes curvatures overflow
    def _is_linear(self) -> bool:
        """Return whether the update maps sums to sums, and zero to zero."""
        x, y = np.random.default_rng(0).normal(size=(2, self._size))
        curvatures = np.array([0.3, 1.7]) / self.lr
        parts = self._apply(x, curvatures) + self._apply(-2 * y, curvatures)
        whole = self._apply(x - 2 * y, curvatures)
        zero = self._apply(np.zeros(self._size), curvatures)
        return bool(np.allclose(parts, whole, rtol=1e-9) and not zero.any())
