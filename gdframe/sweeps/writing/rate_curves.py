"""The picture of a sweep's metric by learning rate, with a line for each other setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from gdframe.drawing import (
    LIGHT,
    Look,
    far_out,
    is_logarithmic,
    label_axis,
    legend_below,
    new_axes,
    short,
)  # fmt: skip
from gdframe.stopping import Status
from gdframe.sweeps.comparing.comparison import Configuration, results_of
from gdframe.sweeps.comparing.sweep_metric import goes_up
from gdframe.sweeps.writing.metric_axis import axis_offset, scale_of

MOST_LINES = 8
"""Most lines in a picture, so that colours are distinct."""

TOP = 0.1
"""Share of the height above the values, for the crosses of learning rates without a value."""

APART = 8.0
"""Points between the crosses of two lines at one learning rate."""

Line = list[tuple[float, Configuration]]


def rate_curves(ranked: Sequence[Configuration], metric: str, look: Look = LIGHT) -> Figure | None:
    """Draw the metric by learning rate; return None without two rates, or without a value.

    Each combination of the other keys is a line, with a band over its seeds. Learning rates of
    all lines at which all runs diverged are shaded.

    Args:
        ranked: configurations of one scale, best first.
        metric: to compare the runs by.
        look: the colours.
    """
    lines = _lines(ranked)
    rates = {lr for points in lines.values() for lr, _ in points}
    shown = dict(list(lines.items())[:MOST_LINES])
    drawn = [configuration for points in shown.values() for _, configuration in points]
    gap, label = axis_offset(drawn, metric)
    values = [gap + value for c in drawn for value in c.values.values()]
    if len(rates) < 2 or not values:
        return None
    figure, axes = new_axes(look)
    is_log = is_logarithmic(values, is_score=goes_up(metric, results_of(ranked)))
    axes.set_xscale("log")
    axes.set_yscale("log" if is_log else "linear")
    for color, (name, points) in zip(look.series, shown.items(), strict=False):
        _draw_line(axes, points, gap, color, name or None)
    translation: Any = ScaledTranslation  # its constructor carries no types
    for color, lr, place in _crosses(list(shown.values()), look):
        beside = translation(place * APART / 72, 0, figure.dpi_scale_trans)
        transform = axes.get_xaxis_transform() + beside
        axes.plot([lr], [1 - TOP / 2], "x", color=color, mew=1.5, transform=transform)
    _set_limits(axes, values, sorted(rates), is_log=is_log)
    _shade(axes, list(shown.values()), look)
    axes.set_xlabel("learning rate")
    axes.set_ylabel(label)
    part = f" (the best {MOST_LINES} of {len(lines)} lines)" if len(lines) > MOST_LINES else ""
    seeds = max(len(configuration.values) for configuration in ranked)
    band = f", mean and range of {seeds} {ranked[0].repeat}s" if seeds > 1 else ""
    axes.set_title(f"{label}{scale_of(ranked)} at the end{band}{part}", fontsize=11)
    legend_below(figure, axes, _marks(drawn, look))
    return figure


def _lines(ranked: Sequence[Configuration]) -> dict[str, Line]:
    """Return the configurations with their learning rates, ascending, by the other settings."""
    lines: dict[str, Line] = {}
    for configuration in ranked:
        lr = _number(configuration.settings.get("lr"))
        if lr is not None:
            others = [
                f"{key}={value}"
                for key, value in configuration.settings.items()
                if key != "lr" and key not in configuration.problem
            ]
            lines.setdefault(", ".join(others), []).append((lr, configuration))
    return {name: sorted(points, key=lambda p: p[0]) for name, points in lines.items()}


def _draw_line(axes: Axes, points: Line, gap: float, color: str, name: str | None) -> None:
    """Draw means, their range, and open marks where some runs have no value."""
    valued = [(lr, c) for lr, c in points if c.values]
    x = [lr for lr, _ in valued]
    means = [gap + c.mean for _, c in valued]
    low, high = ([gap + end(c.values.values()) for _, c in valued] for end in (min, max))
    axes.plot(x, means, "o-", color=color, ms=4, lw=1.5, label=name)
    axes.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
    partly = [(lr, gap + c.mean) for lr, c in valued if c.lost]
    if partly:
        axes.plot(*zip(*partly, strict=True), "o", color=axes.get_facecolor(), mec=color, ms=5)


def _crosses(lines: Sequence[Line], look: Look) -> list[tuple[str, float, float]]:
    """Return colour, learning rate and place beside it of each configuration without a value.

    Crosses at one learning rate stand side by side, centred.
    """
    lost: dict[float, list[str]] = {}
    for color, points in zip(look.series, lines, strict=False):
        for lr, configuration in points:
            if not configuration.values:
                lost.setdefault(lr, []).append(color)
    return [
        (color, lr, index - (len(colors) - 1) / 2)
        for lr, colors in lost.items()
        for index, color in enumerate(colors)
    ]


def _marks(drawn: Sequence[Configuration], look: Look) -> list[Line2D]:
    """Return the legend of crosses and open marks, if there are any."""
    marks = []
    if lost := [configuration for configuration in drawn if not configuration.values]:
        statuses = " or ".join(dict.fromkeys(status for c in lost for status in c.statuses))
        marks.append(Line2D([], [], color=look.ink, marker="x", lw=0, label=f"all {statuses}"))
    if any(c.values and c.lost for c in drawn):
        marks.append(Line2D([], [], color=look.paper, mec=look.ink, marker="o", lw=0,
                            label="some runs have no value"))  # fmt: skip
    return marks


def _set_limits(
    axes: Axes, values: Sequence[float], rates: Sequence[float], *, is_log: bool
) -> None:
    """Set limits and labels: values far out leave the axes, and the rates tried are labelled."""
    low, high = min(values), max(values)
    largest = max([v for v in values if v <= far_out(values)], default=high) if is_log else high
    if largest < high:
        axes.annotate(
            f"up to {short(high)}", (0.01, 1 - TOP / 2), xycoords="axes fraction", fontsize=9,
            va="center",
        )  # fmt: skip
    if is_log:
        room = math.log10(largest / low)
        low, high = low / 10 ** (0.05 * room), largest * 10 ** (room * TOP * 1.3)
    else:
        room = (largest - low) or abs(largest) or 1.0
        low, high = low - 0.05 * room, largest + room * TOP * 1.3
    axes.set_ylim(low, high)
    label_axis(axes.yaxis, low, high, is_log=is_log)
    edges = _edges(rates)
    axes.set_xlim(edges[0], edges[-1])
    label_axis(axes.xaxis, edges[0], edges[-1], is_log=True, at=rates)


def _edges(rates: Sequence[float]) -> list[float]:
    """Return the borders between learning rates, ascending, and those of the axis."""
    return [
        rates[0] ** 1.5 / rates[1] ** 0.5,
        *(math.sqrt(a * b) for a, b in pairwise(rates)),
        rates[-1] ** 1.5 / rates[-2] ** 0.5,
    ]


def _shade(axes: Axes, lines: Sequence[Line], look: Look) -> None:
    """Shade the learning rates of all lines at which every run diverged."""
    by_rate: dict[float, list[Configuration]] = {}
    for points in lines:
        for lr, configuration in points:
            by_rate.setdefault(lr, []).append(configuration)
    rates = sorted(by_rate)
    if len(rates) < 2:  # all lines shown have the same learning rate
        return
    edges, label = _edges(rates), "every line diverged"
    for index, lr in enumerate(rates):
        at_rate = by_rate[lr]
        have_diverged = (c.statuses.get(Status.DIVERGED, 0) == len(c.records) for c in at_rate)
        if len(at_rate) == len(lines) and all(have_diverged):
            span = edges[index], edges[index + 1]
            axes.axvspan(*span, color=look.ink, alpha=0.1, lw=0, label=label, zorder=0)
            label = ""


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number > 0 and math.isfinite(number) else None
