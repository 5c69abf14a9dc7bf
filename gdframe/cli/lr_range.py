"""``python -m gdframe lr-range``: the objective after some steps with each learning rate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gdframe.api import composed
from gdframe.config.build import build, build_diagnostics
from gdframe.config.folders import claim
from gdframe.config.values import plain
from gdframe.data.dataset import Dataset
from gdframe.diagnostics.rates import Ramp, RangeTest, try_ramp, try_rates
from gdframe.drawing import (
    DARK,
    LIGHT,
    Look,
    is_logarithmic,
    label_axis,
    legend_below,
    new_axes,
    png,
)
from gdframe.engines.auto import build_engine
from gdframe.engines.base import Engine
from gdframe.errors import bad_value, printable, require_memory, rounded_down, whole
from gdframe.runs.files import require_writable, write_atomically
from gdframe.runs.picture_files import LR_RANGE, dark_path, picture_path, write_picture
from gdframe.runs.result_table import shown_path
from gdframe.runs.run_folder import RunFolder
from gdframe.schedules import Constant

CHOOSE = "give --low and --high for the learning rates to try"

LOW, HIGH = 1e-5, 10.0
"""Default range of learning rates if the stability limit is unknown."""

SPAN = (1e-4, 4.0)
"""Default range as multiples of the stability limit, if it is known."""

COPIES, NUMBERS_OF_RUN = 4, 2_000
"""Copies of the parameters of a run, and other numbers that it keeps besides its curve."""

FEWEST, MOST = 100, 1000
"""Fewest and most steps by default; between them, an epoch."""


def lr_range(
    *overrides: str,
    low: float | None = None,
    high: float | None = None,
    points: int = 40,
    steps: int | None = None,
    ramp: bool = False,
    folder: str | Path | None = None,
) -> tuple[RangeTest, Path]:
    """Train a run for some steps with each learning rate, and write the objectives reached.

    All learning rates have the same start. No run folder is written.

    Args:
        overrides: of the run, as on the command line; ``lr`` and ``schedule`` are ignored.
        low: the smallest learning rate, above 0; by default 1e-4 times the stability limit if
            that is cheap to compute, else 1e-5.
        high: the largest learning rate; by default 4 times the stability limit, else 10.
        points: number of learning rates, at least 3; a ramp has one for each step.
        steps: number of steps; by default an epoch, but 100 to 1,000.
        ramp: whether to train one run with a growing learning rate, instead of one run for each.
        folder: for the output; by default a new ``outputs/lr-range/DATE/TIME``.

    Returns:
        The result, and the folder with ``lr_range.json``, ``lr_range.png`` and an event file.

    Raises:
        UserError: an override, a learning rate or the data cannot be used; nothing was written.
    """
    root = Path("outputs/lr-range" if folder is None else folder)
    require_writable(root, f"{'' if folder is None else '--output '}{root}")
    config = plain(composed(overrides, f"lr-range takes one run; {CHOOSE}"))
    whole("--points", points, 3)
    if steps is not None:
        whole("--steps", steps, 2)
    for name, lr in (("low", low), ("high", high)):
        if lr is not None and not 0 < lr < np.inf:
            raise bad_value(f"--{name} {lr:g}", "a finite number above 0")
    spec = build(config)
    runs = 1 if ramp else points
    parameters = sum(parameter.numel() for parameter in spec.model.parameters())
    numbers = float(runs) * (COPIES * parameters + NUMBERS_OF_RUN + 2 * (steps or MOST))
    require_memory(f"--points {points} --steps {steps or MOST}", 8 * numbers)
    diagnostics = build_diagnostics(config)
    diagnostics.begin(spec.problem, spec.data, spec.loader)
    limit = diagnostics.stability.lowest if diagnostics.stability else None
    low = (SPAN[0] * limit if limit else LOW) if low is None else low
    high = (SPAN[1] * limit if limit else HIGH) if high is None else high
    if not low < high:
        raise bad_value(f"--low {low:g} --high {high:g}", "--low below --high")
    steps = steps or min(MOST, max(FEWEST, spec.clock.steps_per_epoch))
    if ramp:
        engine = _engine(config, spec.data, [low], steps, high / low)
        result = try_ramp(engine, low, high, steps, limit)
    else:
        lrs = np.geomspace(low, high, points).tolist()
        result = try_rates(_engine(config, spec.data, lrs, steps), lrs, steps, limit)
    target = claim(root) if folder is None else root
    target.mkdir(parents=True, exist_ok=True)
    with RunFolder(target).lock():  # a run may train in it
        _write(target, result, overrides)
    return result, target


def report(result: RangeTest, folder: Path) -> str:
    """Return the text that the command line prints."""
    lr, reason = result.suggestion
    lines = [("suggestion", f"lr={lr:.3g}: {reason}" if lr else f"none: {reason}")]
    if result.limit is not None:
        limit = rounded_down(result.limit, 3)
        lines.append(("stable", f"up to lr {limit}, by the curvature at the start"))
    if result.too_large is not None:
        lines.append(("diverges", f"from lr {result.too_large:.3g} on"))
    method = "one run, lr grows" if result.ramp else f"{len(result.rates)} runs"
    span = f"{result.rates[0]:.3g} to {result.rates[-1]:.3g}"
    lines.append(("tested", f"lr {span}, {method}, {result.steps:,} steps"))
    lines.append(("picture", str(shown_path(picture_path(folder, LR_RANGE)))))
    return "\n".join(printable(f"{name:<14}{value}") for name, value in lines)


def _engine(
    config: Mapping[str, Any], data: Dataset, lrs: Sequence[float], steps: int, ratio: float = 1.0
) -> Engine:
    """Return an engine of runs that differ only in the learning rate."""
    schedule = Constant() if ratio == 1.0 else Ramp(ratio, steps)
    specs = [replace(build({**config, "lr": lr}, lambda _: data), schedule=schedule) for lr in lrs]
    return build_engine(
        config["engine"]["name"],
        [spec.problem for spec in specs],
        data,
        specs[0].loader,
        epochs=-(-steps // specs[0].clock.steps_per_epoch),
    )


def _write(folder: Path, result: RangeTest, overrides: Sequence[str]) -> None:
    picture = png(draw(result))
    path = write_picture(folder, LR_RANGE, picture)
    write_atomically(dark_path(path), png(draw(result, DARK), DARK))
    content = {**result.to_json(), "overrides": list(overrides)}
    write_atomically(folder / "lr_range.json", json.dumps(content, indent=2) + "\n")
    file = RunFolder(folder).open_events()
    try:
        file.image("lr_range", picture)
    finally:
        file.close()


def draw(result: RangeTest, look: Look = LIGHT) -> Figure:
    """Draw the objective by learning rate, with the suggestion, and shade divergence."""
    figure, axes = new_axes(look)
    lrs, is_shown = result.rates, result.values <= 3 * max(abs(result.start), 1e-300)
    values = result.values[is_shown]
    axes.set_xscale("log")
    is_log = is_logarithmic([*values.tolist(), result.start])
    axes.set_yscale("log" if is_log else "linear")
    axes.plot(lrs[is_shown], values, "-" if result.ramp else ".-", color=look.series[0])
    axes.axhline(result.start, color=look.series[7], lw=1.2, ls=":", label="at the start")
    if (edge := result.too_large) is not None:
        axes.axvspan(edge, lrs[-1], color=look.ink, alpha=0.1, lw=0, label="diverges")
    if result.limit is not None and lrs[0] < result.limit < lrs[-1]:
        axes.axvline(result.limit, color=look.ink, lw=1.2, ls="--", label="stability limit")
    suggestion, _ = result.suggestion
    if suggestion is not None:
        label = f"suggestion: {suggestion:.3g}"
        axes.axvline(suggestion, color=look.series[2], lw=1.5, label=label)
    axes.set_xlim(lrs[0], lrs[-1])
    label_axis(axes.xaxis, float(lrs[0]), float(lrs[-1]), is_log=True)
    label_axis(axes.yaxis, *axes.get_ylim(), is_log=is_log)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed loss" if result.ramp else "objective")
    title = "smoothed loss of one run" if result.ramp else f"objective after {result.steps:,} steps"
    axes.set_title(f"{title}, by learning rate", fontsize=11)
    legend_below(figure, axes)
    return figure
