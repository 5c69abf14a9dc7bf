"""``python -m gdframe landscape``: the objective around the paths of runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdframe.cli.retraced_run import LONGEST_SECONDS, RetracedRun, retrace_run
from gdframe.config.known_minimum import known_minimum
from gdframe.diagnostics.landscape_grid import FINEST, refine
from gdframe.diagnostics.plane import Plane, equal_spans, evaluate, parameter_plane, principal_plane
from gdframe.diagnostics.trajectory import COPIES
from gdframe.errors import UserError, bad_value, counted, require_memory, whole
from gdframe.models import Function

Array = NDArray[np.float64]

FEWEST_FINITE = 0.2
"""Smallest share of the grid on which the objective must be finite."""

MOST_RUNS = 8
"""Most paths in a picture, so that colours are distinct."""

POINTS, FEWEST_BETWEEN = 50, 101
"""Points along an axis before it is refined; fewest points of the line between two runs."""

MOST_REFINED, MOST_PRODUCTS = 40_000, 1e10
"""Most points to evaluate in a refinement, and most products of a parameter and a row in them."""

PRODUCTS_PER_SECOND = 1e10
"""Products of a parameter and a row that an evaluation computes in a second, about."""

BYTES_OF_POINT = 100
"""Approximate memory of a grid point: its coordinates, its objective, and their copies."""


@dataclass(frozen=True)
class Landscape:
    """The objective over a plane or a line, with paths of runs.

    Args:
        plane: the plane or line.
        grid: (columns,) coordinates along each axis.
        values: (rows, columns) the objective; (columns,) over a line.
        paths: (points, dimensions) each.
        runs: the runs in the order of their paths.
        between: whether this is the line between the ends of two runs.
        minimum: of the objective, if it is known.
    """

    plane: Plane
    grid: tuple[Array, ...]
    values: Array
    paths: list[Array]
    runs: list[RetracedRun]
    between: bool = False
    minimum: float | None = None


def landscape(
    *runs: str | Path,
    parameters: Sequence[str] = (),
    between: bool = False,
    points: int | None = None,
    rows: int = 500,
    plugins: Sequence[str] = (),
    seconds: float = LONGEST_SECONDS,
) -> Landscape:
    """Return the objective around the paths of runs.

    A model with two parameters is shown as it is. Any other model is shown over the plane of the
    two principal directions of its path, or over the plane of two parameters. Paths are recorded by
    training again.

    Args:
        runs: run folders, at most eight, with one objective.
        parameters: one or two parameters, such as ``weight[0,3]``, as axes.
        between: whether to show the line between the ends of two runs instead.
        points: grid points along each axis, at least 2; by default 50, and more where the
            objective bends.
        rows: most training rows to evaluate the loss on, evenly spaced.
        plugins: files or modules with components of the runs, if it is not known that you trained
            with them.
        seconds: longest training of a run, and longest evaluation of the grid, as estimated.

    Raises:
        UserError: a folder has no ended run, a run would train for too long, the grid would take
            too long, the runs have different objectives, or a parameter does not exist.
    """
    if points is not None:
        whole("--points", points, 2)
        axes_of_grid = 1 if between or len(parameters) == 1 else 2
        require_memory(f"--points {points}", BYTES_OF_POINT * float(points) ** axes_of_grid)
    whole("--rows", rows)
    if len(runs) > MOST_RUNS:
        raise bad_value(f"{len(runs)} runs", f"at most {MOST_RUNS}")
    if between and len(runs) != 2:
        raise bad_value(f"--between with {len(runs)} runs", "two runs")
    retraced = [retrace_run(Path(run), plugins, seconds) for run in runs]
    first = retraced[0]
    for other in retraced[1:]:
        if part := _difference(first, other):
            raise UserError(
                f"{first.folder} and {other.folder}: differ in their {part}; give runs of one "
                "objective"
            )
    paths = [run.path.points for run in retraced]
    size = 8.0 * (COPIES - 1) * sum(path.size for path in paths)
    require_memory(f"the paths of {counted(len(paths), 'run')}", size, "choose fewer runs")
    plane = _plane(first, paths, parameters, between)
    projected = [plane.project(path) for path in paths]
    if between:
        grid: tuple[Array, ...] = (np.linspace(-0.5, 1.5, max(points or 0, FEWEST_BETWEEN)),)
    else:
        all_points = np.concatenate(projected)
        if plane.share == 1 and not parameters:  # the plane has the function's own coordinates
            all_points = np.concatenate([all_points, plane.project(minima(first))])
        grid = tuple(np.linspace(*ends, points or POINTS) for ends in equal_spans(all_points))
    products = float(len(plane.origin) * math.prod(map(len, grid)))
    if first.spec.loss is not None:
        products *= min(rows, first.spec.data.rows)
    if (needed := products / PRODUCTS_PER_SECOND) > seconds:
        raise UserError(
            f"{first.folder}: takes about {needed:,.0f} s to draw, more than {seconds:,.0f} s; "
            "choose fewer --points or --rows"
        )
    minimum = known_minimum(first.result, first.folder)
    grid, values = _objective(first, plane, grid, rows, minimum, is_refined=points is None)
    is_finite = np.isfinite(values)
    if is_finite.mean() < FEWEST_FINITE:
        raise UserError(
            f"{first.folder}: the objective is not finite around the path "
            f"({first.result.get('reason')}); there is no landscape to show"
        )
    values = np.where(is_finite, values, np.nan)
    return Landscape(plane, grid, values, projected, retraced, between, minimum)


def _objective(
    run: RetracedRun, plane: Plane, grid: tuple[Array, ...], rows: int, minimum: float | None,
    *, is_refined: bool,
) -> tuple[tuple[Array, ...], Array]:  # fmt: skip
    """Return the grid, refined if wanted, and the objective over a sample of the rows on it."""
    spec = run.spec
    stride = -(-spec.data.rows // rows)
    data = spec.data.train
    sample = spec.objective.encode(data.take(slice(None, None, stride)))

    def objective(coordinates: Array) -> Array:
        return spec.unit * evaluate(spec.objective, run.shapes, plane, coordinates, sample)

    if is_refined and len(grid) == 1:
        grid = (np.linspace(grid[0][0], grid[0][-1], FINEST),)
    axes = np.meshgrid(*grid)
    coordinates = np.stack([axis.ravel() for axis in axes], axis=1)
    values = objective(coordinates).reshape(axes[0].shape)
    if not is_refined or len(grid) == 1 or not np.isfinite(values).any():
        return grid, values
    products = float(len(plane.origin) * (1 if isinstance(spec.model, Function) else len(sample)))
    return refine(
        grid, values, objective, int(min(MOST_REFINED, MOST_PRODUCTS / products)), minimum
    )


def _difference(a: RetracedRun, b: RetracedRun) -> str | None:
    """Return the part in which the objectives of two runs differ, or None."""
    if a.shapes != b.shapes:
        return "parameters"
    if a.model != b.model:
        return "model"
    for part in ("loss", "penalty"):
        x, y = (getattr(run.spec.objective, part) for run in (a, b))
        if type(x) is not type(y) or (x is not None and repr(vars(x)) != repr(vars(y))):
            return part
    if a.spec.data.encoding.target_scale != b.spec.data.encoding.target_scale:
        return "scale of the target"
    return None if a.spec.data.digest == b.spec.data.digest else "data"


def _plane(
    first: RetracedRun, paths: Sequence[Array], parameters: Sequence[str], between: bool
) -> Plane:
    end, size = paths[0][-1], paths[0].shape[1]
    if between:
        direction = paths[1][-1] - end
        if not direction.any():
            raise UserError("--between: both runs end at the same point; give two other runs")
        label = "from the end of the first run (0) to that of the second (1)"
        return Plane(end, direction[None], (label,), 1.0)
    if parameters:
        if len(parameters) > 2:
            raise UserError(f"--parameters with {len(parameters)} names: give one or two")
        names = [name.replace(" ", "") for name in parameters]
        at = {label: index for index, label in enumerate(_labels(first)) if label in names}
        missing = [name for name in parameters if name.replace(" ", "") not in at]
        if missing:
            examples = ", ".join(f"'{label}'" for label in islice(_labels(first), 4))
            raise UserError(
                f"--parameters '{missing[0]}': does not exist; use a parameter such as {examples}"
            )
        if len(at) < len(names):
            raise UserError(f"--parameters {' '.join(parameters)}: give two different names")
        return parameter_plane(end, [at[name] for name in names], names)
    if size <= 2:
        return parameter_plane(end, range(size), list(_labels(first)))
    return principal_plane(paths)


def _labels(run: RetracedRun) -> Iterator[str]:
    """Yield the label of each parameter, such as ``weight[0,3]``."""
    for name, shape in run.shapes.items():
        for index in np.ndindex(*shape):
            inner = ",".join(map(str, index))
            yield f"{name}[{inner}]" if inner else name


def minima(run: RetracedRun) -> Array:
    """Return the known global minima of a function, (minima, size); empty for other models."""
    model = run.spec.model
    points = model.known_minima if isinstance(model, Function) else []
    size = run.path.points.shape[1]
    return np.array(points, dtype=np.float64).reshape(len(points), size)
