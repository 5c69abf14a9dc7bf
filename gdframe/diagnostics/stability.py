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

AT_LIMIT = 1e-3
"""Relative distance from its limit at which a learning rate counts as at the limit."""


@dataclass(frozen=True)
class Stability:
    """Limits of a run's learning rate.

    Args:
        lr: learning rate of the run.
        product: largest stable ``lr * curvature`` of the update rule: 2 for gradient descent.
        curvature: the largest eigenvalue of the Hessian, above 0.
        noise_limit: largest learning rate at which the error stays bounded in mean square at this
            batch size; None if unknown, or for full batches.
        batch_size: rows of a batch.
        is_sampled: whether a step sees only some rows.
        place: of the curvature, for a sentence; empty if it is the same everywhere.
        is_on_part: whether the noise of batches was measured on a part of the rows.
    """

    lr: float
    product: float
    curvature: float
    noise_limit: float | None = None
    batch_size: int = 0
    is_sampled: bool = False
    place: str = ""
    is_on_part: bool = False

    @property
    def limit(self) -> float:
        """The largest stable learning rate with full batches."""
        return self.product / self.curvature

    @property
    def lowest(self) -> float:
        """The lowest known limit."""
        return min(self.limit, self.noise_limit or math.inf)

    @property
    def is_constant(self) -> bool:
        """Tell whether the Hessian is the same at every point."""
        return not self.place

    @property
    def is_known(self) -> bool:
        """Tell whether the limit at the run's batch size is known."""
        return not self.is_sampled or self.noise_limit is not None

    @property
    def ratio(self) -> float:
        """The learning rate divided by its lowest known limit."""
        return self.lr / self.lowest

    @property
    def exceeded(self) -> bool:
        """Tell whether the learning rate reaches a limit that holds for the run."""
        return (self.is_known or self.is_constant) and self.ratio > 1 - AT_LIMIT

    @property
    def limit_text(self) -> str:
        """The lowest known limit, rounded down, and where it holds."""
        return f"{rounded_down(self.lowest)}{f' {self.place}' if self.place else ''}"

    @property
    def ratio_in_words(self) -> str:
        """The learning rate in units of its lowest known limit, with where that comes from."""
        source = f" ({self.product:.3g} / lambda_max)"
        if self.noise_limit is not None and self.noise_limit < self.limit:
            source = f" at batch size {self.batch_size:,}"
            source += ", measured on a part of the rows," if self.is_on_part else ""
        elif self.is_sampled:
            source = f"{source} of full batches"
        if abs(self.ratio - 1) <= AT_LIMIT:
            words = "at"
        elif 1 < self.ratio < 1.05:
            words = "just above"
        else:
            words = f"{two_digits(self.ratio)} times"
        place = f" {self.place}" if self.place else ""
        return f"{words} the stability limit {rounded_down(self.lowest)}{source}{place}"

    @property
    def comparison(self) -> str:
        """The learning rate and its limit, in words."""
        return f"learning rate {self.lr:.6g} is {self.ratio_in_words}"

    @property
    def _suggested(self) -> float:
        is_noisy = self.noise_limit is not None and self.noise_limit < self.limit
        return (NOISY_SHARE if is_noisy else FULL_SHARE) * self.lowest

    @property
    def suggestion(self) -> str:
        """A learning rate below the limit, rounded down."""
        return rounded_down(self._suggested)

    @property
    def is_noisy(self) -> bool:
        """Tell whether the noise limit suggests a clearly smaller learning rate."""
        return self.noise_limit is not None and self.lr > 1.2 * self._suggested


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
    place: str = "",
) -> Stability | None:
    """Return the limits of an update rule's learning rate, or None if none is known.

    Args:
        rule: None if the update rule is not linear.
        curvature: largest eigenvalue of the Hessian; None if unknown.
        quadratic: the objective as a quadratic, if it is one.
        batch_size: rows of a batch.
        is_sampled: whether a step sees only some rows.
        place: of the curvature, for a sentence; empty if it is the same everywhere.
    """
    if rule is None or curvature is None or not curvature > 0:
        return None
    product = rule.product
    if not math.isfinite(product):
        return None
    noisy, is_on_part = None, False
    if quadratic is not None and batch_size < quadratic.rows:
        noisy = quadratic.noisy_limit(rule, batch_size)
        is_on_part = quadratic.is_on_part(batch_size)
    return Stability(rule.lr, product, curvature, noisy, batch_size, is_sampled, place, is_on_part)
