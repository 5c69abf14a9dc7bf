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
from gdframe.runs.picture_files import HEAT_MAP, LEARNING_RATES, remove_pictures, write_picture
from gdframe.sweeps.comparing.comparison import Configuration, results_of
from gdframe.sweeps.comparing.sweep_metric import goes_up

MOST_LINES = 8
"""Most lines in a picture; their colours are told apart."""

MOST_CELLS = 60
"""Most rows or columns of a heat map."""

MOST_PROBLEMS = 8
"""Most losses, data sets and the like that get pictures of their own."""

FILLED = 0.9
"""Least share of a heat map's cells that have been tried: fewer are values drawn at random."""


def draw(folder: Path, found: Sequence[Configuration], metric: str) -> dict[str, bytes]:
    """Save the pictures that a sweep's varied keys allow; return them as PNG by name.

    What has a scale of its own, such as each of two losses, has pictures of its own.

    Args:
        folder: the sweep's.
        found: its configurations.
        metric: what they are compared by.

    Raises:
        OSError: one cannot be written.
    """
    problems: dict[str, list[Configuration]] = {}
    for configuration in found:
        named = "-".join(f"{key}={value}" for key, value in configuration.problem.items())
        problems.setdefault(named, []).append(configuration)
    for name in (LEARNING_RATES, HEAT_MAP):  # of an earlier launch
        remove_pictures(folder, name)
    saved = {}
    for problem, own in list(problems.items())[:MOST_PROBLEMS]:
        part = re.sub(r"[^a-zA-Z0-9_.=-]+", "_", problem)[:80] if len(problems) > 1 else ""
        pictures = {
            LEARNING_RATES: against_learning_rate(own, metric),
            HEAT_MAP: heat_map(own, metric),
        }
        for name, figure in pictures.items():
            if figure is not None:
                content = png(figure)
                saved[write_picture(folder, name, content, part).stem] = content
    return saved


def against_learning_rate(found: Sequence[Configuration], metric: str) -> Figure | None:
    """Draw a line for each level of the other keys, with the band of its seeds; None for no rates.

    Rates that each line has tried, and at which all runs diverged, are shaded.

    Args:
        found: configurations of one scale, best first.
        metric: what they are compared by.
    """
    rates = [_number(configuration.settings.get("lr")) for configuration in found]
    if len({rate for rate in rates if rate is not None}) < 2:
        return None
    lines: dict[str, list[tuple[float, Configuration]]] = {}
    for rate, configuration in zip(rates, found, strict=True):
        if rate is not None:
            others = {
                k: v
                for k, v in configuration.settings.items()
                if k != "lr" and k not in configuration.problem
            }
            name = ", ".join(f"{key}={value}" for key, value in others.items())
            lines.setdefault(name, []).append((rate, configuration))
    figure, axes = new_axes()
    shown = list(lines.items())[:MOST_LINES]
    values: list[float] = []
    for color, (name, points) in zip(COLORS, shown, strict=False):
        points.sort(key=lambda point: point[0])
        kept = [(rate, c) for rate, c in points if c.values]
        x = [rate for rate, _ in kept]
        low, high = ([f(c.values.values()) for _, c in kept] for f in (min, max))
        values += [*low, *high]
        axes.plot(x, [c.mean for _, c in kept], "o-", color=color, ms=3, lw=1.5, label=name or None)
        axes.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
        lost = [rate for rate, c in points if not c.values]
        axes.plot(lost, [0.98] * len(lost), "x", color=color, transform=axes.get_xaxis_transform())
    axes.set_xscale("log")
    if values and min(values) > 0:
        axes.set_yscale("log")
    _shade(axes, [points for _, points in shown])
    axes.set_xlabel("learning rate")
    axes.set_ylabel(metric)
    left = f" (the best {MOST_LINES} of {len(lines)} lines)" if len(lines) > MOST_LINES else ""
    seeds = max(len(configuration.values) for configuration in found)
    band = f", mean and range of {seeds} seeds" if seeds > 1 else ""
    of = _of(found)
    axes.set_title(f"{metric}{of} at the end, by learning rate{band}{left}", fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    drawn = [configuration for _, points in shown for _, configuration in points]
    if any(not configuration.values for configuration in drawn):
        handles.append(Line2D([], [], color="black", marker="x", lw=0))
        labels.append(_lost(drawn))
    if handles:
        figure.legend(handles, labels, fontsize=9, frameon=False, loc="outside lower center",
                      ncols=min(3, len(handles)))  # fmt: skip
    return figure


def _of(found: Sequence[Configuration]) -> str:
    """Name what all configurations share and others of the sweep do not."""
    return "".join(f" of {key}={value}" for key, value in found[0].problem.items())


def _lost(found: Sequence[Configuration]) -> str:
    """Say how the runs ended of which none has a value."""
    lost = [configuration for configuration in found if not configuration.values]
    return " or ".join(dict.fromkeys(status for one in lost for status in one.statuses))


def _shade(axes: Axes, lines: Sequence[Sequence[tuple[float, Configuration]]]) -> None:
    """Shade the rates that every line has and at which every run diverged."""
    by_rate: dict[float, list[Configuration]] = {}
    for points in lines:
        for rate, configuration in points:
            by_rate.setdefault(rate, []).append(configuration)
    rates = sorted(by_rate)
    if len(rates) < 2:  # the lines that are shown are of one
        return
    lost = {
        rate
        for rate, configurations in by_rate.items()
        if len(configurations) == len(lines)
        and all(c.statuses.get("diverged", 0) == len(c.records) for c in configurations)
    }
    edges = [
        rates[0] ** 1.5 / rates[1] ** 0.5,
        *(math.sqrt(a * b) for a, b in pairwise(rates)),
        rates[-1] ** 1.5 / rates[-2] ** 0.5,
    ]
    label: str | None = "all diverged"
    for index, rate in enumerate(rates):
        if rate in lost:
            axes.axvspan(edges[index], edges[index + 1], color=WARM, alpha=0.12, lw=0, label=label)
            label = None
    axes.set_xlim(edges[0], edges[-1])


def heat_map(found: Sequence[Configuration], metric: str) -> Figure | None:
    """Draw the metric over two varied keys; the best of others is shown. None for one.

    Args:
        found: configurations of one scale, best first.
        metric: what they are compared by.
    """
    keys = list(
        dict.fromkeys(
            key
            for configuration in found
            for key in configuration.settings
            if key not in configuration.problem
        )
    )
    if len(keys) < 2:
        return None
    # the key with more levels runs along the longer side
    levels = {key: _levels(found, key) for key in keys}
    keys.sort(key=lambda key: -len(levels[key]))
    across, down = keys[:2]
    columns, rows = levels[across], levels[down]
    if not (2 <= len(columns) <= MOST_CELLS and 2 <= len(rows) <= MOST_CELLS):
        return None
    grid = np.full((len(rows), len(columns)), np.nan)
    lost = np.zeros(grid.shape, dtype=bool)
    for configuration in found:  # best first: the first in a cell is what it shows
        chosen = configuration.settings
        if across not in chosen or down not in chosen:
            continue
        cell = rows.index(chosen[down]), columns.index(chosen[across])
        if configuration.values and math.isnan(grid[cell]):
            grid[cell] = configuration.mean
        lost[cell] |= not configuration.values
    lost &= np.isnan(grid)
    if (np.isfinite(grid) | lost).mean() < FILLED:
        return None
    figure, axes = new_axes()
    finite = grid[np.isfinite(grid)]
    positive = finite.size > 0 and finite.min() > 0 and finite.max() > 10 * finite.min()
    shades: dict[str, Any] = {"norm": LogNorm()} if positive else {}
    axes.grid(visible=False)
    upwards = goes_up(metric, results_of(found))
    color_map = "viridis" if upwards else "viridis_r"
    image: Any = axes.imshow(grid, aspect="auto", cmap=color_map, **shades)
    for row, column in np.argwhere(lost).tolist():
        axes.add_patch(_crossed(column, row))
    _ticks(axes, columns, rows)
    if grid.size <= 60:
        for (row, column), value in np.ndenumerate(grid):
            if math.isfinite(value):
                at = image.norm(value)
                dark = at < 0.5 if upwards else at > 0.5
                ink = "white" if dark else "black"
                axes.text(column, row, f"{value:.3g}", ha="center", va="center",
                          color=ink, fontsize=8)  # fmt: skip
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    figure.colorbar(image, ax=axes, label=metric)
    if lost.any():
        crossed = Patch(facecolor="white", edgecolor=WARM, hatch="xx", label="no run ended well")
        figure.legend(handles=[crossed], fontsize=9, frameon=False, loc="outside lower left")
    rest = ", best of the rest" if len(keys) > 2 else ""
    axes.set_title(f"{metric}{_of(found)} at the end{rest}, mean over seeds", fontsize=11)
    return figure


def _crossed(column: float, row: float) -> Any:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor=WARM,
                     hatch="xx", lw=0)  # fmt: skip


def _ticks(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    step = -(-len(columns) // 20)
    labels = [_short(level) for level in columns[::step]]
    axes.set_xticks(range(0, len(columns), step), labels, rotation=45, ha="right")
    step = -(-len(rows) // 20)
    axes.set_yticks(range(0, len(rows), step), [_short(level) for level in rows[::step]])


def _short(level: str) -> str:
    """Return a level as a label: long numbers in three digits."""
    with suppress(ValueError):
        return level if len(level) <= 7 else f"{float(level):.3g}"
    return level if len(level) <= 24 else f"{level[:23]}…"


def _levels(found: Sequence[Configuration], key: str) -> list[str]:
    """Return a key's values, numbers by size."""
    levels = list({c.settings[key]: None for c in found if key in c.settings})
    with suppress(ValueError):  # some are words
        levels.sort(key=float)
    return levels


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number > 0 and math.isfinite(number) else None
