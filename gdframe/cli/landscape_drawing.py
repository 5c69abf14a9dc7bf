"""The drawing of a landscape: contours or a curve, with the paths of runs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from gdframe.cli.landscape import Landscape, minima
from gdframe.cli.retraced_run import RetracedRun
from gdframe.diagnostics.landscape_grid import Scale, scale_of
from gdframe.drawing import LIGHT, Look, is_logarithmic, label_axis, legend_below, new_axes, short
from gdframe.drawing.axis_scales import log_ticks, tick_label
from gdframe.drawing.look import write_plainly

LEVELS = 30
"""Number of contours."""

PATHS = ("#ff8c42", "#ffffff", "#ff7fd0", "#00e5ff", "#000000", "#ffd400", "#8b0000", "#4b00a0")
"""Colours of paths on contours. Each has an edge that is dark or bright, so that it is visible on
any ground."""

EDGE = 1.2
"""Points of the edge on both sides of a path."""

HEAD, START, NESTED, STAR = 6.0, 6.0, 3.5, 14.0
"""Sizes of marks in points: ends, starts, the growth of one around others, and minima."""

NEAR = 0.03
"""Largest distance of marks that would hide each other, as a share of the axes."""

LABELS_APART = 0.07
"""Smallest distance of labels at the bar of colours, as a share of its length."""


@dataclass(frozen=True)
class DrawnPath:
    """A path in a picture.

    Args:
        line: the line.
        head: the mark at its end.
        points: (points, 2) where the line goes.
    """

    line: Line2D
    head: Line2D
    points: NDArray[np.float64]


def draw_landscape(result: Landscape, look: Look = LIGHT) -> tuple[Figure, list[DrawnPath]]:
    """Return the picture of a landscape, and its paths."""
    figure, axes = new_axes(look)
    if len(result.grid) == 2:
        paths = _draw_contours(result, axes, figure, look)
        axes.set_ylabel(result.plane.labels[1])
    else:
        paths = _draw_curve(result, axes, look)
    axes.set_xlabel(result.plane.labels[0])
    axes.set_title(title_of(result), fontsize=10)
    legend_below(figure, axes)
    write_plainly(figure, look)
    for _ in range(2):  # axes of a fixed shape have their place after the second time
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # frames of an animation have it too
    return figure, paths


def title_of(result: Landscape) -> str:
    """Return what a landscape shows: the objective, and where the other parameters stand."""
    models = ", ".join(dict.fromkeys(str(run.result["model"]) for run in result.runs))
    title = f"objective of {models}"
    run = "the run" if len(result.runs) == 1 else "the first run"
    size, shown = len(result.plane.origin), len(result.grid)
    if result.between or size <= shown:
        return title
    if result.plane.share < 1 or result.plane.labels[0].startswith("direction"):
        return (f"{title}: {result.plane.share:.1%} of the variation of the path,\n"
                f"in the plane through the end of {run}")  # fmt: skip
    others = "other parameter" if size - shown == 1 else f"{size - shown:,} other parameters"
    return f"{title},\nthe {others} as at the end of {run}"


def legends(result: Landscape) -> list[str]:
    """Return a unique legend for each run, with the seed and the folder only if needed."""
    names = [_legend(run) for run in result.runs]
    if len(set(names)) < len(names):
        names = [
            f"{n}, seed {run.result['seed']}" for n, run in zip(names, result.runs, strict=True)
        ]
    if len(set(names)) < len(names):
        names = [f"{n} ({run.folder.name})" for n, run in zip(names, result.runs, strict=True)]
    return names


def _legend(run: RetracedRun) -> str:
    result = run.result
    return f"{result['optimizer']}, lr {result['lr']:g}, {result['variant']}: {result['status']}"


def _draw_contours(result: Landscape, axes: Axes, figure: Figure, look: Look) -> list[DrawnPath]:
    (x, y), values = result.grid, result.values
    scale = scale_of(values, result.minimum)
    shares = np.where(np.isnan(values), np.nan, scale.share(values))
    levels = np.linspace(0, 1, LEVELS)
    axes.grid(visible=False)
    axes.set_facecolor(look.faint)  # where the objective is not finite
    beyond: Any = "max" if np.nanmax(shares) > 1 else "neither"
    filled = axes.contourf(x, y, shares, levels=levels, cmap="viridis", extend=beyond)
    # few lines: many would cover the floor of a narrow valley
    axes.contour(x, y, shares, levels=levels[::3], colors="white", linewidths=0.4, alpha=0.4)
    bar = figure.colorbar(filled, ax=axes)
    bar.ax.tick_params(which="both", colors=look.ink)
    bar.outline.set_edgecolor(look.ink)
    bar.set_label("objective minus its minimum" if scale.base else "objective")
    places, labels = bar_labels(scale)
    bar.ax.yaxis.set_major_locator(FixedLocator(places))
    bar.ax.yaxis.set_ticklabels(labels)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    for axis, along in ((axes.xaxis, x), (axes.yaxis, y)):
        label_axis(axis, float(along[0]), float(along[-1]), is_log=False)
    if has_equal_units(result):
        axes.set_aspect("equal")
    size = np.array([x[-1] - x[0], y[-1] - y[0]])
    ends = _nested([path[-1] / size for path in result.paths], HEAD)
    paths = []
    for index, (points, name) in enumerate(zip(result.paths, legends(result), strict=True)):
        color = PATHS[index]
        edge: list[AbstractPathEffect] = [
            withStroke(linewidth=1.6 + 2 * EDGE, foreground=edge_of(color))
        ]
        line, head = _draw_path(axes, points, color, edge_of(color), name)
        line.set_path_effects(edge)
        head.set_markersize(ends[index])
        paths.append(DrawnPath(line, head, points))
    starts = np.array([path[0] for path in result.paths])
    axes.plot(*starts.T, "s", color="white", mec="black", ms=START, label="start", zorder=3.5)
    axes.plot([], [], "o", color=PATHS[0], mec=edge_of(PATHS[0]), ms=HEAD, ls="", label="end")
    _draw_minima(result, axes)
    return paths


def has_equal_units(result: Landscape) -> bool:
    """Return whether both axes of a plane have equal units in a picture of ordinary shape."""
    width, height = (axis[-1] - axis[0] for axis in result.grid)
    return bool(0.5 < width / height < 3)


def bar_labels(scale: Scale) -> tuple[list[float], list[str]]:
    """Return places at the bar of colours, between 0 and 1, and the numbers that belong there."""
    if scale.is_log:
        numbers = log_ticks(scale.low, scale.high)
    else:
        numbers = [float(n) for n in MaxNLocator(12).tick_values(scale.low, scale.high)]
    step = numbers[1] - numbers[0]
    places: list[float] = []
    labels: list[str] = []
    for number in numbers:
        if scale.low <= number <= scale.high:
            place = float(scale.share(np.array(number + scale.base)))
            if not places or place - places[-1] >= LABELS_APART:
                places.append(place)
                labels.append(short(number) if scale.is_log else tick_label(number, step))
    return places, labels


def edge_of(color: str) -> str:
    """Return the colour of the edge of a line: dark around a bright one, else bright."""
    red, green, blue = to_rgb(color)
    return "#000000" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.4 else "#ffffff"


def _draw_path(
    axes: Axes, points: NDArray[np.float64], color: str, edge: str, name: str
) -> tuple[Line2D, Line2D]:
    (line,) = axes.plot(*points.T, "-", color=color, lw=1.6, label=name, zorder=3)
    (head,) = axes.plot(*points[-1:].T, "o", color=color, mec=edge, ms=HEAD, zorder=4)
    return line, head


def _draw_minima(result: Landscape, axes: Axes) -> None:
    """Draw stars at the known minima in the picture, below the ends of paths."""
    if result.plane.share < 1:
        return
    points = result.plane.project(minima(result.runs[0]))
    if not len(points) or points.shape[1] != len(result.runs[0].path.points[0]):
        return
    if points.shape[1] == 1:
        heights = np.interp(points[:, 0], result.grid[0], result.values)
        points = np.column_stack([points, heights])
    (low_x, high_x), (low_y, high_y) = axes.get_xlim(), axes.get_ylim()
    inside = [p for p in points if low_x <= p[0] <= high_x and low_y <= p[1] <= high_y]
    if inside:
        axes.plot(*np.array(inside).T, "*", color="white", mec="black", ms=STAR, ls="", zorder=2.5,
                  label="global minimum")  # fmt: skip


def _nested(places: Sequence[NDArray[np.float64]], size: float) -> list[float]:
    """Return the size of each mark; it grows with each later mark at its place, to stay visible."""
    return [
        size + NESTED * sum(np.abs(later - place).max() < NEAR for later in places[index + 1 :])
        for index, place in enumerate(places)
    ]


def _draw_curve(result: Landscape, axes: Axes, look: Look) -> list[DrawnPath]:
    (x,), values = result.grid, result.values
    axes.plot(x, values, color=look.series[0], lw=1.5, label="objective")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    is_log = is_logarithmic([low, high])
    axes.set_yscale("log" if is_log else "linear")
    axes.margins(y=0.06)
    axes.set_ylabel("objective")
    paths = []
    if result.between:
        for end, name, color in zip((0.0, 1.0), legends(result), look.series[1:], strict=False):
            axes.axvline(end, color=color, lw=1.2, ls="--", label=name)
    else:
        colors = (*look.series[1:], look.ink)
        heads = [np.array([path[-1, 0] / (x[-1] - x[0])]) for path in result.paths]
        sizes = _nested(heads, HEAD)
        for index, (path, name) in enumerate(zip(result.paths, legends(result), strict=True)):
            points = np.column_stack([path[:, 0], np.interp(path[:, 0], x, values)])
            line, head = _draw_path(axes, points, colors[index], look.paper, name)
            line.set(marker=".", lw=1)
            head.set_markersize(sizes[index])
            paths.append(DrawnPath(line, head, points))
        _draw_minima(result, axes)
    axes.set_xlim(x[0], x[-1])
    label_axis(axes.yaxis, *axes.get_ylim(), is_log=is_log)
    label_axis(axes.xaxis, float(x[0]), float(x[-1]), is_log=False)
    return paths
