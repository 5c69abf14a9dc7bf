"""Stability limits of a learning rate, by the update rule, the curvature and the batch size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gdframe.diagnostics.least_squares import LeastSquares
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.errors import rounded_down

FULL_SHARE, NOISY_SHARE = 0.5, 0.1
"""Share of the limit that is advised: with full batches, and where batches are noisy.

For gradient descent, half of the limit is one over the largest curvature, at which no direction
overshoots. Noise of the batches keeps the objective above its minimum, the more the closer lr is to
the limit.
"""


@dataclass(frozen=True)
class Stability:
    """Limits of a run's learning rate.

    Args:
        lr: learning rate of the run.
        product: largest stable ``lr * curvature`` of the update rule: 2 for gradient descent.
        curvature: the largest eigenvalue of the Hessian, above 0.
        is_constant: whether the Hessian is the same at every point.
        noisy: largest learning rate at which the error stays bounded in mean square at this
            batch size; None if unknown, or for full batches.
        batch_size: rows of a batch.
        is_sampled: whether a step sees only some rows.
    """

    lr: float
    product: float
    curvature: float
    is_constant: bool
    noisy: float | None = None
    batch_size: int = 0
    is_sampled: bool = False

    @property
    def limit(self) -> float:
        """The largest stable learning rate with full batches."""
        return self.product / self.curvature

    @property
    def lowest(self) -> float:
        """The lowest known limit."""
        return min(self.limit, self.noisy or math.inf)

    @property
    def exceeded(self) -> str | None:
        """A message if the learning rate exceeds its limit, with what to try; else None."""
        if self.lr <= self.lowest:
            return None
        source, share = f" ({self.product:.3g} / lambda_max)", FULL_SHARE
        if self.noisy is not None and self.noisy < self.limit:
            source, share = f" at batch size {self.batch_size:,}", NOISY_SHARE
        ratio = self.lr / self.lowest
        above = "just above" if ratio < 1.05 else f"{two_digits(ratio)} times"
        return (
            f"learning rate {self.lr:g} is {above} the stability limit "
            f"{rounded_down(self.lowest)}{source}; try {rounded_down(share * self.lowest)}"
        )


def two_digits(factor: float) -> str:
    """Return a number with two significant digits, without an exponent below a million.

    Example:
        >>> two_digits(412.3), two_digits(1.46)
        ('410', '1.5')
    """
    return f"{float(f'{factor:.2g}'):,.0f}" if 10 <= factor < 1e6 else f"{factor:.2g}"


def stability_of(
    rule: LinearRule | None,
    curvature: float | None,
    *,
    quadratic: LeastSquares | None = None,
    batch_size: int,
    is_sampled: bool,
) -> Stability | None:
    """Return the limits of an update rule's learning rate, or None if none is known.

    Args:
        rule: None if the update rule is not linear.
        curvature: largest eigenvalue of the Hessian; None if unknown.
        quadratic: the objective as a quadratic, if it is one.
        batch_size: rows of a batch.
        is_sampled: whether a step sees only some rows.
    """
    if rule is None or curvature is None or not curvature > 0:
        return None
    product = rule.limit * rule.lr
    if not math.isfinite(product):
        return None
    noisy = None
    if quadratic is not None and batch_size < quadratic.rows:
        noisy = quadratic.noisy_limit(rule, batch_size)
    is_constant = quadratic is not None
    return Stability(rule.lr, product, curvature, is_constant, noisy, batch_size, is_sampled)
