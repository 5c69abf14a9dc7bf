"""The path of a run through parameter space, recorded while the run is trained again.

A run depends on its configuration alone, so its path is not stored. The run is trained again on
its engine, and its parameters are read on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.engines.base import Engine
from gdframe.errors import require_memory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """A path through parameter space.

    Args:
        steps: (points,) steps done, from 0.
        points: (points, size) parameters as one vector, in the model's order.
    """

    steps: NDArray[np.int64]
    points: Array


def flatten(parameters: Mapping[str, Tensor]) -> Array:
    """Return parameters as one vector (size,)."""
    parts = [values.detach().reshape(-1).double().cpu() for values in parameters.values()]
    vector: Array = torch.cat(parts).numpy()
    return vector


def unflatten(vector: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Return a vector (..., size) as parameters by name, (..., *shape) each."""
    sizes = [shape.numel() for shape in shapes.values()]
    parts = torch.split(vector, sizes, dim=-1)
    return {
        name: part.reshape((*part.shape[:-1], *shape))
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


MOST_POINTS, FEWEST_POINTS, MOST_NUMBERS = 400, 60, 20_000_000
"""Most points of a path; its fewest points if the path is long; most numbers of all points."""


COPIES = 4
"""Copies of the paths in memory while their principal plane is computed."""


def retrace(engine: Engine, steps: int) -> Trajectory:
    """Train the first run of an engine and return its path.

    Points are evenly spaced, except that each of the first steps, the longest, is a point.

    Args:
        engine: before its first step.
        steps: number of steps to train.

    Raises:
        UserError: memory does not suffice for the path and its principal plane.
    """
    size = sum(values.numel() for values in engine.parameters(0).values())
    most = int(np.clip(MOST_NUMBERS // max(1, size), FEWEST_POINTS, MOST_POINTS))
    first = np.arange(min(most // 4, steps) + 1)
    even = np.linspace(0, steps, most - len(first) + 1)
    marks = np.unique(np.concatenate([first, even.round().astype(np.int64), [steps]]))
    what = f"a path of {len(marks)} points of {size:,} parameters"
    require_memory(what, 8.0 * COPIES * size * len(marks), "choose a smaller model")
    points, done = [flatten(engine.parameters(0))], 0
    for mark in marks[1:].tolist():
        while done < mark:
            last = min(mark, engine.clock.epoch_end(done))
            engine.advance(done, last)
            done = last
        points.append(flatten(engine.parameters(0)))
    return Trajectory(marks, np.array(points))
