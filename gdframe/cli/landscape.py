"""``python -m gdframe landscape``: the objective around the paths of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdframe.config.build import build, check_model, load_data
from gdframe.config.command import resume_command
from gdframe.config.trusted_plugins import load_stored
from gdframe.config.validation import check
from gdframe.config.values import name_data, plain, read_config
from gdframe.data.dataset import Rows
from gdframe.diagnostics.plane import (
    Plane,
    evaluate,
    parameter_plane,
    principal_plane,
    span,
)  # fmt: skip
from gdframe.diagnostics.trajectory import COPIES, Trajectory, flatten, retrace
from gdframe.engines.auto import build_engine
from gdframe.errors import UserError, bad_value, counted, require_memory, whole
from gdframe.models import Function
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.training.run_spec import RunSpec

Array = NDArray[np.float64]

FEWEST_FINITE = 0.2
"""Smallest share of the grid on which the objective must be finite."""

MOST_RUNS = 8
"""Most paths in a picture, so that colours are distinct."""

BYTES_OF_POINT = 100
"""Approximate memory of a grid point: its coordinates, its objective, and their copies."""

LONGEST_SECONDS = 3600.0
"""Longest training of a run that is trained again."""

EMPTY = torch.zeros(0)

AGREES = 1e-3
"""Largest relative distance between the end of a path and the end of its run."""


@dataclass(frozen=True)
class RetracedRun:
    """A run with its path.

    Args:
        folder: the run folder.
        spec: built from the config.
        result: content of ``result.json``.
        path: the path of the parameters.
        model: name and settings of the model, without its start.
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
    """The objective over a plane or a line, with paths of runs.

    Args:
        plane: the plane or line.
        grid: (columns,) coordinates along each axis.
        values: (rows, columns) the objective; (columns,) over a line.
        paths: (points, dimensions) each.
        runs: the runs in the order of their paths.
        between: whether this is the line between the ends of two runs.
    """

    plane: Plane
    grid: tuple[Array, ...]
    values: Array
    paths: list[Array]
    runs: list[RetracedRun]
    between: bool = False


def landscape(
    *runs: str | Path,
    parameters: Sequence[str] = (),
    between: bool = False,
    points: int = 50,
    rows: int = 500,
    plugins: Sequence[str] = (),
    seconds: float = LONGEST_SECONDS,
) -> Landscape:
    """Return the objective around the paths of runs.

    A model with two parameters is shown as it is. Any other model is shown over the plane of the
    two principal directions of its path, or over the plane of two parameters. The paths are found
    by training again.

    Args:
        runs: run folders, at most eight, with one objective.
        parameters: one or two parameters, such as ``weight[0,3]``, as axes.
        between: whether to show the line between the ends of two runs instead.
        points: grid points along each axis, at least 2.
        rows: most training rows to evaluate the loss on, evenly spaced.
        plugins: files or modules with components of the runs, if it is not known that you trained
            with them.
        seconds: longest training of a run, as estimated.

    Raises:
        UserError: a folder has no ended run, a run would train for too long, the runs have
            different objectives, or a parameter does not exist.
    """
    whole("--points", points, 2)
    whole("--rows", rows)
    axes_of_grid = 1 if between or len(parameters) == 1 else 2
    require_memory(f"--points {points}", BYTES_OF_POINT * float(points) ** axes_of_grid)
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
    spec = first.spec
    stride = -(-spec.data.rows // rows)
    data = spec.data.train
    sample = spec.objective.encode(Rows(data.features[::stride], data.targets[::stride]))
    projected = [plane.project(path) for path in paths]
    if between:
        grid: tuple[Array, ...] = (np.linspace(-0.5, 1.5, max(points, 101)),)
    else:
        all_points = np.concatenate(projected)
        if plane.share == 1 and not parameters:  # the plane has the function's own coordinates
            all_points = np.concatenate([all_points, plane.project(minima(first))])
        grid = tuple(np.linspace(*span(column), points) for column in all_points.T)
    axes = np.meshgrid(*grid)
    coordinates = np.stack([axis.ravel() for axis in axes], axis=1)
    values = evaluate(spec.objective, first.shapes, plane, coordinates, sample)
    values = values.reshape(axes[0].shape)
    is_finite = np.isfinite(values)
    if is_finite.mean() < FEWEST_FINITE:
        raise UserError(
            f"{first.folder}: the objective is not finite around the path "
            f"({first.result.get('reason')}); there is no landscape to show"
        )
    return Landscape(plane, grid, np.where(is_finite, values, np.nan), projected, retraced, between)


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
    return None if a.spec.data.digest == b.spec.data.digest else "data"


def retrace_run(
    folder: Path, plugins: Sequence[str] = (), seconds: float = LONGEST_SECONDS
) -> RetracedRun:
    """Train a run again and return it with its path.

    Args:
        folder: of the run.
        plugins: that the user names again.
        seconds: longest training, as estimated.

    Raises:
        UserError: the folder has no run, or the run has not ended, would train for too long, or
            ends elsewhere this time.
    """
    if SweepFolder(folder).has_jobs():
        raise UserError(f"{folder}: is a sweep folder; give a run of it, such as {folder / '0'}")
    config = plain(read_config(folder))
    result = RunFolder(folder).read_result()
    if result is None:
        raise UserError(
            f"{folder}: has no result yet; wait until the run ends, or finish it by "
            f"{resume_command(folder)}"
        )
    metadata, last_parameters = RunFolder(folder).read_model()
    if not result.get("steps") or "objective" not in result:
        raise UserError(
            f"{folder}: the run made no step ({result.get('reason')}); there is no path to show"
        )
    stored = RunFolder(folder).read_plugins()
    config["plugins"] = load_stored(folder, config["plugins"], stored, plugins)
    check(config)
    name_data(config["data"].get("path"))
    data = load_data(config)
    try:
        check_model(
            config["model"], features=data.features, outputs=metadata["outputs"] or 1,
            tensors=last_parameters,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    spec = build(config, lambda _: data)
    if result["steps"] > config["epochs"] * spec.clock.steps_per_epoch:
        raise UserError(
            f"{folder}: {result['steps']:,} steps are more than the {config['epochs']:,} epochs of "
            "its config; resume the run to write its result again"
        )
    engine = build_engine(
        result.get("engine", "auto"), [spec.problem], spec.data, spec.loader,
        epochs=config["epochs"],
    )  # fmt: skip
    estimate = type(engine).estimate([spec.problem], spec.data, spec.loader)
    if (needed := estimate.step * result["steps"]) > seconds:
        raise UserError(
            f"{folder}: {result['steps']:,} steps would train again for about {needed:,.0f} s, "
            f"more than {seconds:,.0f} s; choose a shorter run"
        )
    path = retrace(engine, result["steps"])
    shapes = {name: p.shape for name, p in spec.model.named_parameters()}
    if any(shape != last_parameters.get(n, EMPTY).shape for n, shape in shapes.items()):
        raise UserError(f"{folder}: its model has other parameters than its config gives")
    end = flatten({name: last_parameters[name] for name in shapes})
    if np.abs(path.points[-1] - end).max() > AGREES * max(float(np.abs(end).max()), 1e-300):
        raise UserError(
            f"{folder}: the run ends at another point when trained again; its data or the versions "
            "of libraries have changed"
        )
    model = {key: value for key, value in config["model"].items() if key != "start"}
    return RetracedRun(folder, spec, result, path, model)


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
    points = model.minima() if isinstance(model, Function) else []
    size = run.path.points.shape[1]
    return np.array(points, dtype=np.float64).reshape(len(points), size)
