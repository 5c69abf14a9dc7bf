"""Pictures of a sweep: the metric against the learning rate, and over two varied keys."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from gdframe.drawing import COLORS, WARM, new_axes, png
from gdframe.errors import printable
from gdframe.runs.picture_files import HEAT_MAP, LEARNING_RATES, remove_pictures, write_picture
from gdframe.stopping import Status
from gdframe.sweeps.comparing.comparison import Configuration, results_of
from gdframe.sweeps.comparing.sweep_metric import goes_up

MOST_LINES = 8
"""Most lines in a picture, so that colours are distinct."""

MOST_CELLS = 60
"""Most rows or columns of a heat map."""

MOST_PROBLEMS = 8
"""Most scales, such as losses or data sets, with their own pictures."""

FILLED = 0.9
"""Smallest share of a heat map's cells with runs; random search fills fewer."""


def draw(folder: Path, ranked: Sequence[Configuration], metric: str) -> dict[str, bytes]:
    """Write the pictures that suit a sweep's varied keys, and return them as PNG by name.

    Each scale, such as that of each loss, has its own pictures.

    Args:
        folder: the sweep folder.
        ranked: configurations, best first.
        metric: to compare the runs by.

    Raises:
        OSError: a file cannot be written.
    """
    problems: dict[str, list[Configuration]] = {}
    for configuration in ranked:
        problem = "-".join(f"{key}={value}" for key, value in configuration.problem.items())
        problems.setdefault(problem, []).append(configuration)
    for name in (LEARNING_RATES, HEAT_MAP):  # of earlier launches
        remove_pictures(folder, name)
    saved = {}
    for problem, group in list(problems.items())[:MOST_PROBLEMS]:
        part = re.sub(r"[^a-zA-Z0-9_.=-]+", "_", problem)[:80] if len(problems) > 1 else ""
        pictures = {
            LEARNING_RATES: against_learning_rate(group, metric),
            HEAT_MAP: heat_map(group, metric),
        }
        for name, figure in pictures.items():
            if figure is not None:
                content = png(figure)
                saved[write_picture(folder, name, content, part).stem] = content
    return saved


def against_learning_rate(ranked: Sequence[Configuration], metric: str) -> Figure | None:
    """Draw the metric by learning rate; return None for fewer than two learning rates.

    Each combination of the other keys is a line, with a band over its seeds. Learning rates of
    all lines at which all runs diverged are shaded.

    Args:
        ranked: configurations of one scale, best first.
        metric: to compare the runs by.
    """
    lrs = [_number(configuration.settings.get("lr")) for configuration in ranked]
    if len({lr for lr in lrs if lr is not None}) < 2:
        return None
    lines: dict[str, list[tuple[float, Configuration]]] = {}
    for lr, configuration in zip(lrs, ranked, strict=True):
        if lr is not None:
            others = {
                k: v
                for k, v in configuration.settings.items()
                if k != "lr" and k not in configuration.problem
            }
            name = ", ".join(f"{key}={value}" for key, value in others.items())
            lines.setdefault(name, []).append((lr, configuration))
    figure, axes = new_axes()
    shown = list(lines.items())[:MOST_LINES]
    values: list[float] = []
    for color, (name, points) in zip(COLORS, shown, strict=False):
        points.sort(key=lambda point: point[0])
        x = [lr for lr, c in points if c.values]
        means = [c.mean for _, c in points if c.values]
        low, high = ([f(c.values.values()) for _, c in points if c.values] for f in (min, max))
        values += [*low, *high]
        axes.plot(x, means, "o-", color=color, ms=3, lw=1.5, label=name or None)
        axes.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
        lost = [lr for lr, c in points if not c.values]
        axes.plot(lost, [0.98] * len(lost), "x", color=color, transform=axes.get_xaxis_transform())
    axes.set_xscale("log")
    if values and min(values) > 0:
        axes.set_yscale("log")
    _shade(axes, [points for _, points in shown])
    axes.set_xlabel("learning rate")
    axes.set_ylabel(metric)
    part = f" (the best {MOST_LINES} of {len(lines)} lines)" if len(lines) > MOST_LINES else ""
    seeds = max(len(configuration.values) for configuration in ranked)
    band = f", mean and range of {seeds} seeds" if seeds > 1 else ""
    scale = _scale(ranked)
    axes.set_title(f"{metric}{scale} at the end, by learning rate{band}{part}", fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    drawn = [configuration for _, points in shown for _, configuration in points]
    if any(not configuration.values for configuration in drawn):
        handles.append(Line2D([], [], color="black", marker="x", lw=0))
        labels.append(_lost_statuses(drawn))
    if handles:
        figure.legend(handles, labels, fontsize=9, frameon=False, loc="outside lower center",
                      ncols=min(3, len(handles)))  # fmt: skip
    return figure


def _scale(ranked: Sequence[Configuration]) -> str:
    """Return the settings that determine the scale, for a title."""
    return "".join(f" of {key}={value}" for key, value in ranked[0].problem.items())


def _lost_statuses(configurations: Sequence[Configuration]) -> str:
    """Return the statuses of configurations without a value."""
    lost = [configuration for configuration in configurations if not configuration.values]
    return " or ".join(dict.fromkeys(status for c in lost for status in c.statuses))


def _shade(axes: Axes, lines: Sequence[Sequence[tuple[float, Configuration]]]) -> None:
    """Shade the learning rates of all lines at which every run diverged."""
    by_lr: dict[float, list[Configuration]] = {}
    for points in lines:
        for lr, configuration in points:
            by_lr.setdefault(lr, []).append(configuration)
    lrs = sorted(by_lr)
    if len(lrs) < 2:  # all lines shown have the same learning rate
        return
    diverged = {
        lr
        for lr, configurations in by_lr.items()
        if len(configurations) == len(lines)
        and all(c.statuses.get(Status.DIVERGED, 0) == len(c.records) for c in configurations)
    }
    edges = [
        lrs[0] ** 1.5 / lrs[1] ** 0.5,
        *(math.sqrt(a * b) for a, b in pairwise(lrs)),
        lrs[-1] ** 1.5 / lrs[-2] ** 0.5,
    ]
    label: str | None = "all diverged"
    for index, lr in enumerate(lrs):
        if lr in diverged:
            axes.axvspan(edges[index], edges[index + 1], color=WARM, alpha=0.12, lw=0, label=label)
            label = None
    axes.set_xlim(edges[0], edges[-1])


def heat_map(ranked: Sequence[Configuration], metric: str) -> Figure | None:
    """Draw the metric over two varied keys; return None if it does not suit the sweep.

    A cell shows the best configuration over all other keys.

    Args:
        ranked: configurations of one scale, best first.
        metric: to compare the runs by.
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
    levels = {key: _levels(ranked, key) for key in keys}
    keys.sort(key=lambda key: -len(levels[key]))
    column_key, row_key = keys[:2]
    columns, rows = levels[column_key], levels[row_key]
    if not (2 <= len(columns) <= MOST_CELLS and 2 <= len(rows) <= MOST_CELLS):
        return None
    grid = np.full((len(rows), len(columns)), np.nan)
    is_lost = np.zeros(grid.shape, dtype=bool)
    for configuration in ranked:  # best first, so a cell shows its first configuration
        settings = configuration.settings
        if column_key not in settings or row_key not in settings:
            continue
        cell = rows.index(settings[row_key]), columns.index(settings[column_key])
        if configuration.values and math.isnan(grid[cell]):
            grid[cell] = configuration.mean
        is_lost[cell] |= not configuration.values
    is_lost &= np.isnan(grid)
    if (np.isfinite(grid) | is_lost).mean() < FILLED:
        return None
    figure, axes = new_axes()
    finite = grid[np.isfinite(grid)]
    is_log = finite.size > 0 and finite.min() > 0 and finite.max() > 10 * finite.min()
    norm: dict[str, Any] = {"norm": LogNorm()} if is_log else {}
    axes.grid(visible=False)
    is_maximized = goes_up(metric, results_of(ranked))
    color_map = "viridis" if is_maximized else "viridis_r"
    image: Any = axes.imshow(grid, aspect="auto", cmap=color_map, **norm)
    for row, column in np.argwhere(is_lost).tolist():
        axes.add_patch(_crossed(column, row))
    _ticks(axes, columns, rows)
    if grid.size <= 60:
        for (row, column), value in np.ndenumerate(grid):
            if math.isfinite(value):
                brightness = image.norm(value)
                is_dark = brightness < 0.5 if is_maximized else brightness > 0.5
                axes.text(column, row, f"{value:.3g}", ha="center", va="center",
                          color="white" if is_dark else "black", fontsize=8)  # fmt: skip
    axes.set_xlabel(column_key)
    axes.set_ylabel(row_key)
    figure.colorbar(image, ax=axes, label=metric)
    if is_lost.any():
        crossed = Patch(facecolor="white", edgecolor=WARM, hatch="xx", label="no run ended well")
        figure.legend(handles=[crossed], fontsize=9, frameon=False, loc="outside lower left")
    others = ", best over the other keys" if len(keys) > 2 else ""
    axes.set_title(f"{metric}{_scale(ranked)} at the end{others}, mean over seeds", fontsize=11)
    return figure


def _crossed(column: float, row: float) -> Any:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor=WARM,
                     hatch="xx", lw=0)  # fmt: skip


def _ticks(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    step = -(-len(columns) // 20)
    labels = [printable(_short(level)) for level in columns[::step]]
    x = range(0, len(columns), step)
    axes.set_xticks(x, labels, rotation=45, ha="right", parse_math=False)
    step = -(-len(rows) // 20)
    labels = [printable(_short(level)) for level in rows[::step]]
    axes.set_yticks(range(0, len(rows), step), labels, parse_math=False)


def _short(level: str) -> str:
    """Return a level as a label, with three digits for long numbers."""
    with suppress(ValueError):
        return level if len(level) <= 7 else f"{float(level):.3g}"
    return level if len(level) <= 24 else f"{level[:23]}…"


def _levels(configurations: Sequence[Configuration], key: str) -> list[str]:
    """Return the levels of a key, sorted if all are numbers."""
    levels = list({c.settings[key]: None for c in configurations if key in c.settings})
    with suppress(ValueError):  # a level is not a number
        levels.sort(key=float)
    return levels


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number > 0 and math.isfinite(number) else None
