"""``python -m gdframe lr-range``: which learning rates descend, and from which on it explodes."""

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
from gdframe.drawing import COLORS, WARM, new_axes, png
from gdframe.engines.auto import build_engine
from gdframe.engines.base import Engine
from gdframe.errors import UserError
from gdframe.runs.files import write_atomically
from gdframe.runs.picture_files import LR_RANGE, picture_path, write_picture
from gdframe.runs.result_table import shown_path
from gdframe.runs.run_folder import RunFolder
from gdframe.schedules import Constant

LOW, HIGH = 1e-5, 10.0
"""Rates that are tried where the curvature does not tell more."""

SPAN = (1e-4, 4.0)
"""Likewise as shares of the stability limit, where that is known."""

FEWEST, MOST = 100, 1000
"""Steps: an epoch, but at least and at most so many."""


def lr_range(
    *overrides: str,
    low: float | None = None,
    high: float | None = None,
    points: int = 40,
    steps: int | None = None,
    ramp: bool = False,
    folder: str | Path | None = None,
) -> tuple[RangeTest, Path]:
    """Try learning rates on a run, and write what they do to its objective.

    The run itself is not trained: every rate starts from its start, and nothing is kept but what
    was measured.

    Args:
        overrides: the run, as on the command line; ``lr`` and ``schedule`` do not matter.
        low: the smallest rate, above 0; by default 1e-4 of the stability limit where the curvature
            is cheap to know, else 1e-5.
        high: the largest; by default 4 times the limit, else 10.
        points: how many rates, at least 3; of a ramp every step has its own.
        steps: updates of each; by default an epoch, but 100 to 1,000.
        ramp: whether one run goes through all rates, instead of one run for each.
        folder: where it is written; by default a new ``outputs/lr-range/DATE/TIME``.

    Returns:
        What was found, and the folder with ``lr_range.json``, ``lr_range.png`` and events.

    Raises:
        UserError: an override, a rate or the data cannot be used; nothing was written.
    """
    config = plain(composed(overrides))
    if points < 3:
        raise UserError(f"--points {points}: must be at least 3")
    if steps is not None and steps < 2:
        raise UserError(f"--steps {steps}: must be at least 2")
    spec = build(config)
    diagnostics = build_diagnostics(config)
    diagnostics.begin(spec.problem, spec.data, spec.loader)
    limit = diagnostics.stability.lowest if diagnostics.stability else None
    for name, rate in (("low", low), ("high", high)):
        if rate is not None and not 0 < rate < np.inf:
            raise UserError(f"--{name} {rate:g}: a learning rate must be a finite number above 0")
    low = (SPAN[0] * limit if limit else LOW) if low is None else low
    high = (SPAN[1] * limit if limit else HIGH) if high is None else high
    if not low < high:
        raise UserError(f"the rates {low:g} to {high:g} are none: expected --low below --high")
    steps = steps or min(MOST, max(FEWEST, spec.clock.steps_per_epoch))
    if ramp:
        found = try_ramp(
            _engine(config, spec.data, [low], steps, high / low), low, high, steps, limit
        )
    else:
        rates = np.geomspace(low, high, points).tolist()
        found = try_rates(_engine(config, spec.data, rates, steps), rates, steps, limit)
    target = claim(Path("outputs/lr-range")) if folder is None else Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    _write(target, found, overrides)
    return found, target


def report(found: RangeTest, folder: Path) -> str:
    """Return what the command line prints."""
    rate, reason = found.suggestion
    lines = [("suggestion", f"lr={rate:.3g}: {reason}" if rate else f"none: {reason}")]
    if found.limit is not None:
        lines.append(("stable", f"up to {found.limit:.3g}, by the curvature at the start"))
    if found.too_large is not None:
        lines.append(("explodes", f"from {found.too_large:.3g} on"))
    how = "one run, its rate growing" if found.ramp else f"{len(found.rates)} runs at once"
    span = f"{found.rates[0]:.3g} to {found.rates[-1]:.3g}"
    lines.append(("tried", f"{span}, {how}, {found.steps:,} steps"))
    lines.append(("picture", str(shown_path(picture_path(folder, LR_RANGE)))))
    return "\n".join(f"{name:<14}{value}" for name, value in lines)


def _engine(
    config: Mapping[str, Any], data: Dataset, rates: Sequence[float], steps: int, ratio: float = 1.0
) -> Engine:
    """Return an engine with a run for each rate, all alike but for it."""
    schedule = Constant() if ratio == 1.0 else Ramp(ratio, steps)
    specs = [
        replace(build({**config, "lr": rate}, lambda _: data), schedule=schedule) for rate in rates
    ]
    return build_engine(
        config["engine"]["name"],
        [spec.problem for spec in specs],
        data,
        specs[0].loader,
        epochs=-(-steps // specs[0].clock.steps_per_epoch),
    )


def _write(folder: Path, found: RangeTest, overrides: Sequence[str]) -> None:
    picture = png(draw(found))
    write_picture(folder, LR_RANGE, picture)
    content = {**found.to_json(), "overrides": list(overrides)}
    write_atomically(folder / "lr_range.json", json.dumps(content, indent=2) + "\n")
    file = RunFolder(folder).open_events()
    try:
        file.image("lr_range", picture)
    finally:
        file.close()


def draw(found: RangeTest) -> Figure:
    """Draw the objective against the rate, with the suggestion, and shade what explodes."""
    figure, axes = new_axes()
    shown = found.values <= 3 * max(abs(found.start), 1e-300)
    axes.plot(found.rates[shown], found.values[shown], "-" if found.ramp else ".-", color=COLORS[0])
    axes.axhline(found.start, color="#999999", lw=1, ls=":", label="at the start")
    axes.set_xscale("log")
    positive = found.values[shown]
    if len(positive) and positive.min() > 0 and positive.max() > 20 * positive.min():
        axes.set_yscale("log")
    if (edge := found.too_large) is not None:
        axes.axvspan(edge, found.rates[-1], color=WARM, alpha=0.13, lw=0, label="explodes")
    if found.limit is not None and found.rates[0] < found.limit < found.rates[-1]:
        axes.axvline(found.limit, color=WARM, lw=1.2, ls="--", label="stability limit")
    rate, _ = found.suggestion
    if rate is not None:
        axes.axvline(rate, color=COLORS[2], lw=1.5, label=f"suggestion: {rate:.3g}")
    axes.set_xlim(found.rates[0], found.rates[-1])
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed loss" if found.ramp else "objective")
    what = "of one run, its rate growing" if found.ramp else f"after {found.steps:,} steps"
    axes.set_title(f"{'loss' if found.ramp else 'objective'} {what}, by learning rate", fontsize=11)
    axes.legend(fontsize=9)
    return figure
