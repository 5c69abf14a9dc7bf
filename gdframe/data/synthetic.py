"""Synthetic data of chosen size, noise and conditioning, with known true parameters."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gdframe.data.frame import Column, Frame
from gdframe.data.source import Source
from gdframe.errors import UserError, bad_value, require_memory
from gdframe.randomness import Purpose, generator
from gdframe.registry import DATASETS


def _features(rows: int, features: int, condition_number: float, seed: int) -> Tensor:
    """Return features (rows, features) whose covariance has the given condition number.

    The eigenvalues form a geometric sequence from ``1 / condition_number`` to 1 along random axes.
    The number is exact for at least twice as many rows as features. Otherwise it is exact for the
    distribution of the features only.
    """
    draw = generator(seed, Purpose.DATA, 0)
    x = torch.randn((rows, features), generator=draw, dtype=torch.float64)
    if rows >= 2 * features:
        x -= x.mean(dim=0)
        factor = torch.linalg.cholesky(x.T @ x / rows)
        x = torch.linalg.solve_triangular(factor.T, x, upper=True, left=False)
    spread = torch.logspace(-math.log10(condition_number) / 2, 0, features, dtype=torch.float64)
    gauss = torch.randn((features, features), generator=draw, dtype=torch.float64)
    axes, _ = torch.linalg.qr(gauss)
    features_of_rows: Tensor = (x * spread) @ axes.T
    return features_of_rows


COPIES = 5
"""Copies of the features in memory while they are drawn, split and standardised."""


def _check(
    rows: int, features: int, noise: float, condition_number: float, classes: int = 1
) -> None:
    for name, number in (("rows", rows), ("features", features)):
        if number < 1:
            raise bad_value(f"{name}={number}", "a whole number of at least 1")
    numbers = COPIES * rows * (features + classes) + (3 * features + classes) * features
    require_memory(f"rows={rows} features={features} classes={classes}", 8 * numbers)
    if not (math.isfinite(noise) and noise >= 0):
        raise bad_value(f"noise={noise:g}", "a finite number of at least 0")
    if not (math.isfinite(condition_number) and condition_number >= 1):
        raise bad_value(f"condition_number={condition_number:g}", "a finite number of at least 1")


@DATASETS.register("regression")
class Regression(Source):
    """Synthetic linear regression: y = X w + b + noise, with w and b known.

    Args:
        rows: number of training and validation rows together.
        features: number of features.
        noise: standard deviation of the noise added to the targets.
        condition_number: condition number of the features' covariance, at least 1; it tells how
            hard the problem is for gradient descent. Standardising features changes it.
        validation: share of the rows held out, in [0, 1).
        test: share of the rows that are measured once, at the end.
        fold: which fold validates; see ``Source``.
        standardize: whether each feature gets mean 0 and deviation 1.
        seed: seed of the draw and of the split.

    Example:
        >>> frame = Regression(rows=100, features=3, condition_number=10.0).read()
        >>> float(round(np.linalg.cond(np.cov(frame.values.T)), 6))
        10.0
    """

    def __init__(
        self,
        *,
        rows: int = 1000,
        features: int = 20,
        noise: float = 0.1,
        condition_number: float = 1.0,
        validation: float = 0.2,
        test: float = 0.0,
        fold: int | str | None = None,
        standardize: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            validation=validation, test=test, fold=fold, standardize=standardize, seed=seed
        )
        _check(rows, features, noise, condition_number)
        self.rows, self.features = rows, features
        self.noise, self.condition_number = noise, condition_number

    def read(self) -> Frame:
        """Return the drawn features, targets and true parameters."""
        x = _features(self.rows, self.features, self.condition_number, self.seed)
        draw = generator(self.seed, Purpose.DATA, 1)
        weight = torch.randn(self.features, generator=draw, dtype=torch.float64)
        bias = torch.randn((), generator=draw, dtype=torch.float64)
        noise = torch.randn(self.rows, generator=draw, dtype=torch.float64)
        y = x @ weight + bias + self.noise * noise
        truth = {"weight": weight.numpy()[None, :], "bias": bias.numpy()[None]}
        columns = [Column(f"x{i}") for i in range(self.features)]
        return Frame(columns, x.numpy(), y.numpy(), truth=truth)


@DATASETS.register("classification")
class Classification(Source):
    """Synthetic linear classes: the label is the argmax of X W + b + noise, with W and b known.

    Args:
        rows: number of training and validation rows together.
        features: number of features.
        classes: number of classes, at least 2.
        noise: scale of the Gumbel noise on the scores: at 1 the labels follow the softmax of the
            scores, at 0 the classes are separable.
        condition_number: condition number of the features' covariance, at least 1.
        validation: share of the rows held out, in [0, 1).
        test: share of the rows that are measured once, at the end.
        fold: which fold validates; see ``Source``.
        standardize: whether each feature gets mean 0 and deviation 1.
        seed: seed of the draw and of the split.

    Example:
        >>> frame = Classification(rows=50, features=2, classes=3, noise=0.0).read()
        >>> scores = frame.values @ frame.truth["weight"].T + frame.truth["bias"]
        >>> bool((scores.argmax(axis=1) == frame.target).all())
        True
    """

    def __init__(
        self,
        *,
        rows: int = 1000,
        features: int = 20,
        classes: int = 2,
        noise: float = 1.0,
        condition_number: float = 1.0,
        validation: float = 0.2,
        test: float = 0.0,
        fold: int | str | None = None,
        standardize: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            validation=validation, test=test, fold=fold, standardize=standardize, seed=seed
        )
        _check(rows, features, noise, condition_number, classes)
        if classes < 2:
            raise bad_value(f"classes={classes}", "a whole number of at least 2")
        self.rows, self.features, self.classes = rows, features, classes
        self.noise, self.condition_number = noise, condition_number

    def read(self) -> Frame:
        """Return the drawn features, targets and true parameters."""
        x = _features(self.rows, self.features, self.condition_number, self.seed)
        draw = generator(self.seed, Purpose.DATA, 1)
        weight = torch.randn((self.classes, self.features), generator=draw, dtype=torch.float64)
        bias = 0.5 * torch.randn(self.classes, generator=draw, dtype=torch.float64)
        uniform = torch.rand((self.rows, self.classes), generator=draw, dtype=torch.float64)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
        label = (x @ weight.T + bias + self.noise * gumbel).argmax(dim=1).numpy()
        present, target = np.unique(label, return_inverse=True)
        if len(present) < self.classes:
            raise UserError(
                f"data=classification: {self.rows} rows contain only {len(present)} of "
                f"{self.classes} classes; use more rows or fewer classes"
            )
        truth = {"weight": weight.numpy(), "bias": bias.numpy()}
        columns = [Column(f"x{i}") for i in range(self.features)]
        names = tuple(range(self.classes))
        return Frame(columns, x.numpy(), target, classes=names, truth=truth)
