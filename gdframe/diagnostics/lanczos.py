"""The largest and the smallest eigenvalue of a symmetric matrix, from products with vectors.

Lanczos' method with full reorthogonalisation projects the matrix on a Krylov space. The extreme
eigenvalues of the projection approach those of the matrix from inside. A start close to the
eigenvector needs only a few products.

Source: Golub and Van Loan, "Matrix Computations" (2013), section 10.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST_PRODUCTS, FEWEST = 200, 8
"""Most products with the matrix for its eigenvalues; fewest from a random start, which may be far
from the eigenvector, so that the estimated error is that of another eigenvalue."""


@dataclass(frozen=True)
class Extremes:
    """Extreme eigenvalues with their eigenvectors.

    Args:
        largest: the largest eigenvalue, signed.
        vector: (size,) its eigenvector of length one.
        smallest: the smallest eigenvalue, if requested.
        low_vector: (size,) its eigenvector of length one, if requested.
        products: number of matrix-vector products.
    """

    largest: float
    vector: Array
    smallest: float | None
    low_vector: Array | None
    products: int


def extremes(
    product: Callable[[Array], Array],
    size: int,
    *,
    start: Array | None = None,
    smallest: bool = False,
    tolerance: float = 1e-6,
) -> Extremes:
    """Return the largest eigenvalue of a symmetric matrix, and on request the smallest.

    Args:
        product: returns the matrix times a vector (size,).
        size: rows of the matrix, at least 1.
        start: (size,) a guess at the sum of the requested eigenvectors. Noise is added, so that
            no eigenvector is missed. By default, the start is noise alone.
        smallest: whether to compute the smallest eigenvalue too.
        tolerance: error of an eigenvalue, relative to the largest absolute eigenvalue. The error
            is estimated as residual^2 / gap, at most the residual, with the gap to the next
            eigenvalue of the projection.

    Example:
        >>> spectrum = extremes(lambda v: np.array([3.0, -5.0, 1.0]) * v, 3, smallest=True)
        >>> round(spectrum.largest, 6), round(spectrum.smallest, 6)
        (3.0, -5.0)
    """
    noise = np.random.default_rng(0).normal(size=size)
    noise /= np.linalg.norm(noise)
    vector = noise if start is None else start / np.linalg.norm(start) + 0.01 * noise
    steps = min(MOST_PRODUCTS, size)
    basis = np.zeros((steps, size))
    basis[0] = vector / np.linalg.norm(vector)
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    while True:
        done = len(diagonal)
        image = product(basis[done])
        diagonal.append(float(basis[done] @ image))
        for _ in range(2):  # twice is enough (Parlett)
            image = image - basis[: done + 1].T @ (basis[: done + 1] @ image)
        residual = float(np.linalg.norm(image))
        values, vectors = np.linalg.eigh(_tridiagonal(diagonal, off_diagonal))
        scale = float(np.abs(values).max())
        ends = [-1, 0] if smallest else [-1]
        is_exact = residual <= 1e-12 * max(scale, 1e-300)
        errors = [_error(values, k, residual * abs(float(vectors[-1, k]))) for k in ends]
        is_close = max(errors) <= tolerance * scale and (start is not None or done >= FEWEST)
        if is_exact or is_close or done + 1 == steps:
            break
        off_diagonal.append(residual)
        basis[done + 1] = image / residual
    used = basis[: len(diagonal)]
    return Extremes(
        largest=float(values[-1]),
        vector=used.T @ vectors[:, -1],
        smallest=float(values[0]) if smallest else None,
        low_vector=used.T @ vectors[:, 0] if smallest else None,
        products=len(diagonal),
    )


def _error(values: Array, end: int, residual: float) -> float:
    """Return the estimated error of the eigenvalue at an end of the projection's spectrum."""
    if len(values) == 1:
        return residual
    gap = abs(float(values[end] - values[-2 if end == -1 else 1]))
    return residual * min(1.0, residual / gap if gap > 0 else 1.0)


def _tridiagonal(diagonal: list[float], off_diagonal: list[float]) -> Array:
    return np.diag(diagonal) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)
