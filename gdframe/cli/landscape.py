"""``python -m gdframe landscape``: the objective around the path of a run, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdframe.config.build import build
from gdframe.config.values import plain, read_config
from gdframe.data.dataset import Rows
from gdframe.diagnostics.plane import (
    Plane,
    evaluate,
    parameter_plane,
    principal_plane,
    span,
)  # fmt: skip
from gdframe.diagnostics.trajectory import Trajectory, flatten, retrace
from gdframe.engines.auto import build_engine
from gdframe.errors import UserError
from gdframe.models import Function
from gdframe.registry.plugins import load_plugins
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.training.run_spec import RunSpec

Array = NDArray[np.float64]

FEWEST_FINITE = 0.2
"""Share of the grid on which the objective must be finite."""

MOST_RUNS = 8
"""Most paths in a picture; their colours are told apart."""

AGREES = 1e-3
"""How far, relative to its size, the end of a path may be from where the run ended."""


@dataclass(frozen=True)
class Traced:
    """A run and its path.

    Args:
        folder: the run's.
        spec: built from its config.
        result: what ``result.json`` holds.
        path: where it went.
        model: its model's name and settings, but for where it starts.
    """

    folder: Path
    spec: RunSpec
    result: dict[str, Any]
    path: Trajectory
    model: dict[str, Any]

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Shapes of the parameters, by name."""
        return {name: p.shape for name, p in self.spec.model.named_parameters()}


@dataclass(frozen=True)
class Landscape:
    """The objective over a plane or a line, and the paths on it.

    Args:
        plane: where.
        grid: (columns,) coordinates along each axis.
        values: (rows, columns) the objective, or (columns,) over a line.
        paths: (points, dimensions) each.
        runs: traced, in the paths' order; of a line between two runs, both.
        between: whether it is the line between the ends of two runs.
    """

    plane: Plane
    grid: tuple[Array, ...]
    values: Array
    paths: list[Array]
    runs: list[Traced]
    between: bool = False


def landscape(
    *runs: str | Path,
    parameters: Sequence[str] = (),
    between: bool = False,
    points: int = 50,
    rows: int = 500,
) -> Landscape:
    """Evaluate the objective around the paths of runs.

    A model of two parameters is shown as it is, any other over the plane of its path's two
    principal directions, or of two parameters. The paths are found by training again.

    Args:
        runs: folders, at most eight; several must be of one objective.
        parameters: two of them, such as ``weight[0,3]``, or one.
        between: whether the line between the ends of two runs is wanted instead.
        points: of the grid along each axis, at least 2.
        rows: most training rows the loss is a mean over, evenly spaced.

    Raises:
        UserError: a folder is no ended run's, the runs do not fit each other, or a parameter does
            not exist.
    """
    if points < 2 or rows < 1:
        raise UserError(f"--points {points} --rows {rows}: expected at least 2 points and 1 row")
    if len(runs) > MOST_RUNS:
        raise UserError(f"{len(runs)} runs: a picture holds at most {MOST_RUNS}")
    if between and len(runs) != 2:
        raise UserError(f"--between takes two runs, not {len(runs)}")
    traced = [trace(Path(run)) for run in runs]
    first = traced[0]
    for other in traced[1:]:
        if what := _difference(first, other):
            raise UserError(
                f"{first.folder} and {other.folder} differ in their {what}: one plane holds runs "
                "of one objective"
            )
    paths = [run.path.points for run in traced]
    plane = _plane(first, paths, parameters, between)
    spec = first.spec
    stride = -(-spec.data.rows // rows)
    data = spec.data.train
    some = spec.objective.encode(Rows(data.features[::stride], data.targets[::stride]))
    shown = [plane.project(path) for path in paths]
    if between:
        grid: tuple[Array, ...] = (np.linspace(-0.5, 1.5, max(points, 101)),)
    else:
        every = np.concatenate(shown)
        if plane.share == 1 and not parameters:  # a function's own coordinates
            every = np.concatenate([every, plane.project(minima(first))])
        grid = tuple(np.linspace(*span(column), points) for column in every.T)
    axes = np.meshgrid(*grid)
    places = np.stack([axis.ravel() for axis in axes], axis=1)
    values = evaluate(spec.objective, first.shapes, plane, places, some).reshape(axes[0].shape)
    finite = np.isfinite(values)
    if finite.mean() < FEWEST_FINITE:
        raise UserError(
            f"{first.folder}: the path goes where the objective is beyond all numbers "
            f"({first.result.get('reason')}): there is no landscape to show"
        )
    return Landscape(plane, grid, np.where(finite, values, np.nan), shown, traced, between)


def _difference(one: Traced, other: Traced) -> str | None:
    """Say in what the objectives of two runs differ, or None."""
    if one.shapes != other.shapes:
        return "parameters"
    parts = [run.spec.objective for run in (one, other)]
    if one.model != other.model:
        return "model"
    for what in ("loss", "penalty"):
        a, b = (getattr(part, what) for part in parts)
        if type(a) is not type(b) or (a is not None and repr(vars(a)) != repr(vars(b))):
            return what
    return None if one.spec.data.digest == other.spec.data.digest else "data"


def trace(folder: Path) -> Traced:
    """Train a run again and keep its path.

    Raises:
        UserError: it is not the folder of a run, has not ended, or does not end where it did.
    """
    if SweepFolder(folder).has_jobs():
        raise UserError(f"{folder} holds a sweep: name runs of it, such as {folder / '0'}")
    config = plain(read_config(folder))
    result = RunFolder(folder).read_result()
    if result is None:
        raise UserError(
            f"{folder} has no result yet: the run is being trained, or was cut short; finish it by "
            f"python -m gdframe resume {folder}"
        )
    _, ended = RunFolder(folder).read_model()
    if not result.get("steps"):
        raise UserError(f"{folder} took no step ({result.get('reason')}): there is no path to show")
    load_plugins(config["plugins"])
    spec = build(config)
    engine = build_engine(
        result["engine"], [spec.problem], spec.data, spec.loader, epochs=config["epochs"]
    )
    path = retrace(engine, result["steps"])
    names = [name for name, _ in spec.model.named_parameters()]
    end = flatten({name: ended[name] for name in names})
    if np.abs(path.points[-1] - end).max() > AGREES * max(float(np.abs(end).max()), 1e-300):
        raise UserError(
            f"{folder}: trained again, the run does not end where it did; its data or the versions "
            "of libraries have changed"
        )
    model = {key: value for key, value in config["model"].items() if key != "start"}
    return Traced(folder, spec, result, path, model)


def _plane(
    first: Traced, paths: Sequence[Array], parameters: Sequence[str], between: bool
) -> Plane:
    end, size = paths[0][-1], paths[0].shape[1]
    if between:
        way = paths[1][-1] - end
        if not way.any():
            raise UserError("both runs end at the same point: there is no line between them")
        return Plane(end, way[None], ("from the first run's end (0) to the second's (1)",), 1.0)
    labels = _labels(first)
    if parameters:
        if len(parameters) > 2:
            raise UserError(f"--parameters takes one or two, not {len(parameters)}")
        missing = [name for name in parameters if name.replace(" ", "") not in labels]
        if missing:
            some = ", ".join(labels[:4])
            raise UserError(f"there is no parameter '{missing[0]}': expected one such as {some}")
        at = [labels.index(name.replace(" ", "")) for name in parameters]
        if len(set(at)) < len(at):
            raise UserError(f"--parameters {' '.join(parameters)}: name two different ones")
        return parameter_plane(end, at, [labels[i] for i in at])
    if size <= 2:
        return parameter_plane(end, range(size), labels)
    return principal_plane(paths)


def _labels(run: Traced) -> list[str]:
    """Return what each parameter is called: ``weight[0,3]``."""
    found = []
    for name, shape in run.shapes.items():
        for index in np.ndindex(*shape):
            inner = ",".join(map(str, index))
            found.append(f"{name}[{inner}]" if inner else name)
    return found


def minima(run: Traced) -> Array:
    """Return the known global minima of a function, (minima, size); none for other models."""
    model = run.spec.model
    known = model.minima() if isinstance(model, Function) else []
    size = run.path.points.shape[1]
    return np.array(known, dtype=np.float64).reshape(len(known), size)
