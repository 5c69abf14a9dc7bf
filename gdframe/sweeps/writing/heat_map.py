"""The picture of a sweep's metric over two of its varied keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from gdframe.drawing import LIGHT, Look, far_out, is_logarithmic, label_axis, new_axes, short
from gdframe.errors import printable
from gdframe.sweeps.comparing.comparison import Configuration, results_of
from gdframe.sweeps.comparing.sweep_metric import goes_up
from gdframe.sweeps.writing.metric_axis import axis_offset, scale_of

MOST_CELLS, MOST_NUMBERS = 60, 60
"""Most rows or columns, and most cells with their number in them."""

FILLED = 0.9
"""Smallest share of the cells with runs; random search fills fewer."""

MOST_LABELS = 20
"""Most labels of an axis."""


def heat_map(ranked: Sequence[Configuration], metric: str, look: Look = LIGHT) -> Figure | None:
    """Draw the metric over two varied keys; return None if it does not suit the sweep.

    A cell shows the best configuration over all other keys.

    Args:
        ranked: configurations of one scale, best first.
        metric: to compare the runs by.
        look: the colours.
    """
    keys = list(
        dict.fromkeys(
            key
            for configuration in ranked
            for key in configuration.settings
            if key not in configuration.problem
        )
    )
    if len(keys) < 2:
        return None
    # the key with more levels is on the longer side
    levels = {key: levels_of(ranked, key) for key in keys}
    keys.sort(key=lambda key: -len(levels[key]))
    column_key, row_key = keys[:2]
    columns, rows = levels[column_key], levels[row_key]
    if not (2 <= len(columns) <= MOST_CELLS and 2 <= len(rows) <= MOST_CELLS):
        return None
    gap, label = axis_offset(ranked, metric)
    grid, is_lost = _cells(ranked, (row_key, rows), (column_key, columns))
    if not np.isfinite(grid).any() or (np.isfinite(grid) | is_lost).mean() < FILLED:
        return None
    figure, axes = new_axes(look)
    axes.grid(visible=False)
    is_maximized = goes_up(metric, results_of(ranked))
    image = _draw_cells(axes, grid + gap, is_maximized=is_maximized)
    for row, column in np.argwhere(is_lost).tolist():
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **_lost(look)))
    _ticks(axes, columns, rows)
    axes.set_xlabel(column_key)
    axes.set_ylabel(row_key)
    bar = figure.colorbar(image, ax=axes, label=label, extend=_beyond(image, grid + gap))
    bar.ax.tick_params(which="both", colors=look.ink)
    bar.outline.set_edgecolor(look.ink)
    is_log = isinstance(image.norm, LogNorm)
    label_axis(bar.ax.yaxis, image.norm.vmin, image.norm.vmax, is_log=is_log)
    if is_lost.any():
        hatched = Patch(**_lost(look), label="no run ended well")
        figure.legend(handles=[hatched], fontsize=9, frameon=False, loc="outside lower left")
    others = ", best over the other keys" if len(keys) > 2 else ""
    seeds = f", mean over {ranked[0].repeat}s" if any(len(c.values) > 1 for c in ranked) else ""
    axes.set_title(f"{label}{scale_of(ranked)} at the end{others}{seeds}", fontsize=11)
    return figure


def _cells(
    ranked: Sequence[Configuration], rows: tuple[str, list[str]], columns: tuple[str, list[str]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the best mean of each cell, NaN without one, and where no run has a value."""
    (row_key, row_levels), (column_key, column_levels) = rows, columns
    grid = np.full((len(row_levels), len(column_levels)), np.nan)
    is_lost = np.zeros(grid.shape, dtype=bool)
    for configuration in ranked:  # best first, so a cell shows its first configuration
        settings = configuration.settings
        if column_key not in settings or row_key not in settings:
            continue
        row = row_levels.index(settings[row_key])
        column = column_levels.index(settings[column_key])
        if configuration.values and math.isnan(grid[row, column]):
            grid[row, column] = configuration.mean
        is_lost[row, column] |= not configuration.values
    return grid, is_lost & np.isnan(grid)


def _draw_cells(axes: Axes, grid: NDArray[np.float64], *, is_maximized: bool) -> Any:
    """Draw cells and their numbers; better cells are brighter, and those far out are alike."""
    finite = grid[np.isfinite(grid)]
    is_log = is_logarithmic(finite.tolist(), is_score=is_maximized)
    largest = finite.max()
    if is_log:
        largest = finite[finite <= far_out(finite.tolist())].max()
    norm = (LogNorm if is_log else Normalize)(finite.min(), largest)
    color_map = "viridis" if is_maximized else "viridis_r"
    image: Any = axes.imshow(grid, aspect="auto", cmap=color_map, norm=norm)
    if grid.size <= MOST_NUMBERS:
        size = 8 if max(grid.shape[1] / 8, grid.shape[0] / 12) <= 1 else 6
        for (row, column), value in np.ndenumerate(grid):
            if math.isfinite(value):
                red, green, blue, _ = image.cmap(norm(value))
                is_bright = 0.3 * red + 0.6 * green + 0.1 * blue > 0.45
                axes.text(column, row, short(float(value)), ha="center", va="center",
                          color="#000000" if is_bright else "#ffffff", fontsize=size)  # fmt: skip
    return image


def _beyond(image: Any, grid: NDArray[np.float64]) -> Any:
    """Return whether the bar of colours ends with an arrow, for values beyond it."""
    return "max" if np.nanmax(grid) > image.norm.vmax else "neither"


def _lost(look: Look) -> dict[str, Any]:
    """Return the look of a cell in which no run has a value."""
    return {"facecolor": look.paper, "edgecolor": look.ink, "hatch": "xx", "lw": 0}


def _ticks(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    step = -(-len(columns) // MOST_LABELS)
    labels = [printable(_level(level)) for level in columns[::step]]
    rotation = 45 if sum(map(len, labels)) > 60 else 0
    axes.set_xticks(range(0, len(columns), step), labels, rotation=rotation,
                    ha="right" if rotation else "center", parse_math=False)  # fmt: skip
    step = -(-len(rows) // MOST_LABELS)
    labels = [printable(_level(level)) for level in rows[::step]]
    axes.set_yticks(range(0, len(rows), step), labels, parse_math=False)


def _level(level: str) -> str:
    """Return a level as a label, with three digits for long numbers."""
    with suppress(ValueError):
        return level if len(level) <= 7 else short(float(level))
    return level if len(level) <= 24 else f"{level[:23]}…"


def levels_of(configurations: Sequence[Configuration], key: str) -> list[str]:
    """Return the levels of a key, sorted if all are numbers."""
    levels = list({c.settings[key]: None for c in configurations if key in c.settings})
    with suppress(ValueError):  # a level is not a number
        levels.sort(key=float)
    return levels
