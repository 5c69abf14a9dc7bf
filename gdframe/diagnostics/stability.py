"""How large a learning rate may be: the limit of the rule, the curvature, the noise of batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gdframe.diagnostics.least_squares import LeastSquares
from gdframe.diagnostics.linear_rule import LinearRule


@dataclass(frozen=True)
class Stability:
    """Limits of a run's learning rate.

    Args:
        lr: the run's.
        product: largest ``lr * curvature`` at which its rule is stable: 2 for gradient descent.
        curvature: the largest eigenvalue of the Hessian, above 0.
        everywhere: whether that is the same at every point.
        noisy: learning rate beyond which the noise of batches no longer contracts in mean square,
            of rules with momentum to first order; None where it is not known, or there is none.
        batch_size: rows of a batch.
        sampled: whether that is fewer than there are.
    """

    lr: float
    product: float
    curvature: float
    everywhere: bool
    noisy: float | None = None
    batch_size: int = 0
    sampled: bool = False

    @property
    def limit(self) -> float:
        """The largest stable learning rate of full batches."""
        return self.product / self.curvature

    @property
    def lowest(self) -> float:
        """The lowest limit that is known."""
        return min(self.limit, self.noisy or math.inf)

    @property
    def exceeded(self) -> str | None:
        """How far the learning rate is beyond its limit, in words, and what to try; or None."""
        if self.lr <= self.lowest:
            return None
        span = f"try {self.lowest / 2:.2g} to {self.lowest:.2g}"
        if self.noisy is not None and self.noisy < self.limit:
            rows = f"batches of {self.batch_size:,} row{'' if self.batch_size == 1 else 's'}"
            return (
                f"learning rate {self.lr:g} is {two_digits(self.lr / self.noisy)} times the limit "
                f"{self.noisy:.2g} beyond which the noise of {rows} no longer dies out; {span}"
            )
        return (
            f"learning rate {self.lr:g} is {two_digits(self.lr / self.limit)} times the stability "
            f"limit {self.limit:.2g} ({self.product:.3g} / lambda_max); {span}"
        )


def two_digits(factor: float) -> str:
    """Return a factor in two digits, without an exponent where that is short.

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
    batch_size: int = 0,
    rows: int = 0,
) -> Stability | None:
    """Return the limits of a rule's learning rate, or None where none is known.

    Args:
        rule: None for one that is not linear: no limit is claimed of it.
        curvature: largest eigenvalue of the Hessian; None where it is not known.
        quadratic: the objective, where it is one.
        batch_size: rows of a batch.
        rows: of the training data.
    """
    if rule is None or curvature is None or not curvature > 0:
        return None
    product = rule.limit * rule.lr
    if not math.isfinite(product):
        return None
    noisy, sampled = None, batch_size < rows
    if quadratic is not None and sampled and (gain := rule.gain) > 0:
        noisy = quadratic.noisy_limit(batch_size) / gain
    return Stability(rule.lr, product, curvature, quadratic is not None, noisy, batch_size, sampled)
