"""Where a run went: its parameters from the start to the end, found by going there again.

A run is a function of its config, so its path need not be stored: it is trained once more on the
engine it was trained on, step for step, and looked at on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.engines.base import Engine

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """A path through parameter space.

    Args:
        steps: (points,) updates done, from 0.
        points: (points, size) the parameters, flattened one after another in the model's order.
    """

    steps: NDArray[np.int64]
    points: Array


def flatten(parameters: Mapping[str, Tensor]) -> Array:
    """Return parameters as one vector (size,)."""
    parts = [values.detach().reshape(-1).double().cpu() for values in parameters.values()]
    found: Array = torch.cat(parts).numpy()
    return found


def unflatten(vector: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Return a vector (..., size) as parameters by name, (..., *shape) each."""
    sizes = [shape.numel() for shape in shapes.values()]
    parts = torch.split(vector, sizes, dim=-1)
    return {
        name: part.reshape(*part.shape[:-1], *shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


MOST_POINTS, FEWEST_POINTS, MOST_NUMBERS = 400, 60, 20_000_000
"""Of a path: most points, but fewer where all its numbers would be more than the last."""


def retrace(engine: Engine, steps: int) -> Trajectory:
    """Train the first run of an engine and keep where it is on the way.

    Points are evenly spaced but for the first steps, which are the longest.

    Args:
        engine: at its start.
        steps: updates to do.
    """
    size = sum(values.numel() for values in engine.parameters(0).values())
    most = int(np.clip(MOST_NUMBERS // max(1, size), FEWEST_POINTS, MOST_POINTS))
    early = np.arange(min(most // 4, steps) + 1)
    even = np.linspace(0, steps, most - len(early) + 1)
    marks = np.unique(np.concatenate([early, even.round().astype(np.int64), [steps]]))
    points, done = [flatten(engine.parameters(0))], 0
    for mark in marks[1:].tolist():
        while done < mark:
            last = min(mark, engine.clock.epoch_end(done))
            engine.advance(done, last)
            done = last
        points.append(flatten(engine.parameters(0)))
    return Trajectory(marks, np.array(points))
