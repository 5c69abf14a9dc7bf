"""The objective over a plane, or along a line, through parameter space.

Source: Li et al., "Visualizing the loss landscape of neural nets" (2018): the plane of a path's two
principal directions shows most of where it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.rows import Rows
from gdframe.diagnostics.trajectory import unflatten
from gdframe.objective import FunctionalObjective, Objective

Array = NDArray[np.float64]

AT_ONCE = 1 << 22
"""Most values of activations and parameters that a chunk of points may take."""


@dataclass(frozen=True)
class Plane:
    """A plane, or a line, through parameter space.

    Args:
        origin: (size,) the point with coordinates zero.
        axes: (dimensions, size) directions at right angles, of length one.
        labels: what each is.
        share: of the paths' variation, how much lies in it.
    """

    origin: Array
    axes: Array
    labels: tuple[str, ...]
    share: float

    def project(self, points: Array) -> Array:
        """Return coordinates (points, dimensions) of points (points, size)."""
        coordinates: Array = (points - self.origin) @ self.axes.T
        return coordinates


def principal_plane(paths: Sequence[Array]) -> Plane:
    """Return the plane through where the first path ends that shows most of all paths.

    Args:
        paths: (points, size) each.
    """
    origin = paths[0][-1]
    away = np.concatenate(paths) - origin
    variation = float((away**2).sum())
    first, size = _principal(away)
    if size == 0:
        axes = _with_another(np.eye(1, len(origin))[0])
    else:
        second, other = _principal(away - np.outer(away @ first, first))
        straight = other <= 1e-12 * size
        second -= (second @ first) * first  # what rounding left
        axes = _with_another(first) if straight else np.stack([first, second])
    shown = float(((away @ axes.T) ** 2).sum())
    share = shown / variation if variation else 1.0
    labels = tuple(f"direction {i + 1}" for i in range(2))
    return Plane(origin, axes, labels, share)


def _principal(away: Array) -> tuple[Array, float]:
    """Return the first principal direction of points (points, size), and the singular value.

    Of few points in many dimensions, by the products of the points: 30 times as fast as the SVD.
    """
    products = away @ away.T
    _, vectors = np.linalg.eigh(products)
    direction: Array = vectors[:, -1] @ away
    size = float(np.linalg.norm(direction))
    return (direction / size if size > 0 else direction), size


def parameter_plane(origin: Array, at: Sequence[int], labels: Sequence[str]) -> Plane:
    """Return the plane, or line, of given parameters; the others stay where they are at ``origin``.

    Coordinates are the parameters themselves.
    """
    base = origin.copy()
    base[list(at)] = 0.0
    axes = np.zeros((len(at), len(origin)))
    axes[range(len(at)), list(at)] = 1.0
    return Plane(base, axes, tuple(labels), 1.0)


def _with_another(direction: Array) -> Array:
    """Return a direction of length one, and one at right angles to it."""
    other = np.zeros_like(direction)
    other[int(np.abs(direction).argmin())] = 1.0
    other -= (other @ direction) * direction
    return np.stack([direction, other / np.linalg.norm(other)])


ASPECT, MOST_STRETCH = 1.45, 20.0
"""Width divided by height of a picture's axes; longest axis divided by the shorter, at most, if
both have equal units."""


def equal_spans(points: Array, aspect: float = ASPECT) -> list[tuple[float, float]]:
    """Return an interval along each axis that holds points, so that both axes have equal units.

    In equal units, steps of plain gradient descent are at right angles to the contours. Axes that
    differ too much for that keep their own units.

    Args:
        points: (points, axes) coordinates.
        aspect: width divided by height of the picture.
    """
    spans = [span(column) for column in points.T]
    if len(spans) != 2:
        return spans
    (width, height) = (high - low for low, high in spans)
    wanted = max(width, height * aspect), max(height, width / aspect)
    if max(wanted[0] / width, wanted[1] / height) > MOST_STRETCH:
        return spans
    centres = ((low + high) / 2 for low, high in spans)
    return [(c - size / 2, c + size / 2) for c, size in zip(centres, wanted, strict=True)]


def span(coordinates: Array, margin: float = 0.25) -> tuple[float, float]:
    """Return an interval that holds coordinates (points,) and some more on both sides."""
    low, high = float(coordinates.min()), float(coordinates.max())
    width = high - low if high > low else max(1.0, abs(high))
    return low - margin * width, high + margin * width


@torch.no_grad()
def evaluate(
    objective: Objective,
    shapes: dict[str, torch.Size],
    plane: Plane,
    coordinates: Array,
    rows: Rows,
) -> Array:
    """Return the objective at many points of a plane at once, (points,).

    Args:
        objective: whose model is functional.
        shapes: of the parameters, by name.
        plane: where the points are.
        coordinates: (points, dimensions) of them.
        rows: encoded; what the loss is the mean over.
    """
    model, function = objective.model, FunctionalObjective(objective, shapes)
    like = next(model.parameters())

    def value(vector: Tensor) -> Tensor:
        return function(unflatten(vector, shapes), rows.features, rows.targets)[0]

    width = max((shape[0] for shape in shapes.values() if len(shape)), default=1)
    chunk = max(1, AT_ONCE // (len(plane.origin) + len(rows) * width * 4))
    origin, axes = (
        torch.from_numpy(values).to(like.device, like.dtype)
        for values in (plane.origin, plane.axes)
    )
    training = model.training
    model.eval()
    try:
        every = torch.vmap(value)
        values = [
            every(torch.from_numpy(part).to(like.device, like.dtype) @ axes + origin)
            .double()
            .cpu()
            .numpy()
            for part in np.array_split(coordinates, -(-len(coordinates) // chunk))
        ]
    finally:
        model.train(training)
    objectives: Array = np.concatenate(values)
    return objectives
