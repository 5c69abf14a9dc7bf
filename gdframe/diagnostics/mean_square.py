"""The largest learning rate at which random batches keep the error of least squares bounded.

A step multiplies (parameter, state) by ``F + lr * u wᵀ H_B``, where H_B is the Hessian over a
batch B, and F, u and w are the update rule's: w picks the parameter. So the second moment M of
(parameter, state) follows a linear map, a step of the mean plus the noise of the batch:

    M <- A M Aᵀ + share * u uᵀ V(wᵀ M w),    V(P) = E[H_i P H_i] - H P H,

with H_i the Hessian over one row, and ``share = (rows - size) / (rows - 1) / size`` for batches
without replacement. The error stays bounded in mean square if and only if the spectral radius of
the map over an epoch is at most one. The map is a sum of positive maps, D of the mean and N of the
noise; so that holds if and only if D is stable and the radius of ``(1 - D)⁻¹ N`` is at most one
(Varga, "Matrix Iterative Analysis", 1962, theorem 3.29). That radius needs only V and a few numbers
for each pair of eigenvalues, and directions that converge slowly do not slow it down.

Batches of an epoch count as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.linear_rule import LinearRule

Array = NDArray[np.float64]

MOST_STEPS, LONG = 16, 64
"""Most steps of an epoch that are followed; steps from which on a shorter last batch is ignored."""

EXACT, MOST_ITERATIONS = 1e-3, 200
"""Relative change at which the power iteration ends, and its most iterations."""

FADING, LEAST = 1e-9, 1e-12
"""Least share of a rule's state that fades in a step; least limit, as a share of the noiseless."""

HALVINGS = 9
"""Halvings of an interval from half of the limit to the limit, which is rounded down."""


def shares_of(rows: int, batch_size: int) -> list[float]:
    """Return the variance of each batch's Hessian in an epoch, in units of that of one row.

    The list has one entry if all batches count as equal.
    """

    def share(size: int) -> float:
        return (rows - size) / max(1, rows - 1) / size

    full, rest = divmod(rows, batch_size)
    if rest == 0 or full >= LONG:
        return [share(batch_size)]
    return [share(batch_size)] * min(full, MOST_STEPS - 1) + [share(rest)]


@dataclass(frozen=True)
class BatchNoise:
    """Least squares with random batches, along the eigenvectors of its Hessian.

    Args:
        features: (rows, directions) the design along the eigenvectors with positive eigenvalues.
        eigenvalues: (directions,) of the Hessian.
        factor: of ``x xᵀ`` in the Hessian over one row.
        shares: of the steps of an epoch, by ``shares_of``.
    """

    features: Array
    eigenvalues: Array
    factor: float
    shares: Sequence[float]

    def limit(self, rule: LinearRule) -> float | None:
        """Return the largest stable learning rate of an update rule, as a multiple of its own.

        The result is None if a part of the rule's state neither grows nor fades, such as a sum of
        gradients: its second moment grows at any learning rate. It is also None below ``LEAST``.
        """
        largest = float(self.eigenvalues[-1])
        highest = rule.product / rule.lr / largest * (1 - 1e-9)
        if rule.radii(np.array([highest * largest / 2]))[0] > 1 - FADING:
            return None
        start = np.tile(np.eye(len(self.eigenvalues)), (len(self.shares), 1, 1))

        def is_stable(scale: float) -> bool:
            nonlocal start
            radius, start = self._radius(rule, scale, start)
            return radius <= 1

        low, high = highest / 2, highest
        while not is_stable(low):
            low, high = low / 2, low
            if low < LEAST * highest:
                return None
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if is_stable(middle) else (low, middle)
        return low

    def _variance(self, moment: Array) -> Array:
        """Return ``V`` of a second moment of the parameter, (directions, directions)."""
        x, mean = self.features, self._mean
        weights = np.einsum("nd,nd->n", x @ moment, x)
        variance: Array = self.factor**2 * ((x.T * weights) @ x / len(x) - mean @ moment @ mean)
        return variance

    @cached_property
    def _mean(self) -> Array:
        mean: Array = self.features.T @ self.features / len(self.features)
        return mean

    def _radius(self, rule: LinearRule, scale: float, moments: Array) -> tuple[float, Array]:
        """Return the radius of ``(1 - D)⁻¹ N``, and its eigenvector.

        Args:
            rule: the update rule.
            scale: of the rule's learning rate.
            moments: (steps, directions, directions) where the power iteration begins.
        """
        propagate, noise = self._maps(rule, scale)
        shares = self.shares
        whole = np.linalg.matrix_power(propagate, len(shares))
        closed = np.linalg.inv(np.eye(whole.shape[-1]) - whole)
        radius = math.nan
        for _ in range(MOST_ITERATIONS):
            sources = [
                share * self._variance(moment)[..., None] * noise
                for share, moment in zip(shares, moments, strict=True)
            ]
            state = np.zeros_like(sources[0])
            for source in sources:
                state = _times(propagate, state) + source
            state = _times(closed, state)  # the second moments of a steady epoch
            after = []
            for source in sources:
                after.append(state[..., 0])
                state = _times(propagate, state) + source
            before, radius = radius, float(np.linalg.norm(after) / np.linalg.norm(moments))
            if radius == 0:
                return 0.0, moments
            moments = np.stack(after) / np.linalg.norm(after)
            if abs(radius - before) <= EXACT * radius:
                break
        return radius, moments

    def _maps(self, rule: LinearRule, scale: float) -> tuple[Array, Array]:
        """Return the map of second moments for each pair of eigenvalues, and the noise's place."""
        steps = rule.matrices(scale * self.eigenvalues)
        flat, curved = rule.matrices(np.array([0.0, 1.0]))
        effect = scale * (curved - flat)[:, 0]  # of a gradient of one
        pairs = np.einsum("iac,jbd->ijabcd", steps, steps)
        size = len(effect) ** 2
        return pairs.reshape(*pairs.shape[:2], size, size), np.kron(effect, effect)


def _times(maps: Array, vectors: Array) -> Array:
    """Multiply a matrix and a vector for each pair of eigenvalues."""
    product: Array = np.matmul(maps, vectors[..., None])[..., 0]
    return product
