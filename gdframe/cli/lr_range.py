"""``python -m gdframe lr-range``: the objective after some steps with each learning rate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gdframe.api import composed
from gdframe.config.build import build
from gdframe.config.folders import claim
from gdframe.config.values import plain
from gdframe.diagnostics.learning_rate import FALLBACK
from gdframe.diagnostics.learning_rate.automatic import known_limit, stability_at_start
from gdframe.diagnostics.learning_rate.ramp import Ramp, try_ramp
from gdframe.diagnostics.learning_rate.rate_range import (
    FEWEST,
    SECONDS,
    RangeTest,
    default_steps,
    range_test,
)
from gdframe.diagnostics.learning_rate.search import Range, Search, default_range
from gdframe.diagnostics.learning_rate.trials import Trials, with_lr
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
from gdframe.errors import UserError, bad_value, printable, require_memory, rounded_down, whole
from gdframe.runs.files import require_writable, write_atomically
from gdframe.runs.output_file import refuse_others
from gdframe.runs.picture_files import LR_RANGE, dark_path, picture_path, write_picture
from gdframe.runs.result_table import shown_path
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.training.run_spec import RunSpec

CHOOSE = "give --low and --high for the learning rates to try"

COPIES, NUMBERS_OF_RUN = 4, 2_000
"""Copies of the parameters of a run, and other numbers that it keeps besides its curve."""

RESULT = "lr_range.json"

FINER, CONFIRMED = 12, 6
"""Further learning rates around the best one, where the user does not set the range; and how many
of the best are trained once more, as runs."""

RAMP = 1000
"""Most steps of a ramp by default; an epoch, if that is shorter."""


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
        overrides: of the run, as on the command line, without ``lr``; a ramp ignores ``schedule``.
        low: the smallest learning rate, above 0; by default 1e-4 times the stability limit if
            that is cheap to compute, else 1e-5.
        high: the largest learning rate; by default 4 times the stability limit, else 10. A range
            without ``low`` and ``high`` is extended while the best rate is at its end, and tried
            more finely around it.
        points: number of learning rates, at least 3; a ramp has one for each step.
        steps: number of steps; by default the whole run, or a part of it if the test would take
            more than some ten seconds. Of a ramp, an epoch, but 100 to 1,000.
        ramp: whether to train one run with a growing learning rate, instead of one run for each.
        folder: for the output; by default a new ``outputs/lr-range/DATE/TIME``.

    Returns:
        The result, and the folder with ``lr_range.json``, ``lr_range.png`` and an event file.

    Raises:
        UserError: an override, a learning rate or the data cannot be used; nothing was written.
    """
    root = Path("outputs/lr-range" if folder is None else folder)
    require_writable(root, f"{'' if folder is None else '--output '}{root}")
    if SweepFolder(root).has_jobs():
        raise UserError(f"--output {root}: is a sweep folder; give another folder")
    picture = picture_path(root, LR_RANGE)
    refuse_others([picture, dark_path(picture), root / RESULT])
    config = plain(composed(overrides, f"lr-range takes one run; {CHOOSE}"))
    whole("--points", points, 3)
    if steps is not None:
        whole("--steps", steps, 2)
    for name, lr in (("low", low), ("high", high)):
        if lr is not None and not 0 < lr < np.inf:
            raise bad_value(f"--{name} {lr:g}", "a finite number above 0")
    spec = build({**config, "lr": FALLBACK})
    runs = 1 if ramp else points
    parameters = sum(parameter.numel() for parameter in spec.model.parameters())
    numbers = float(runs) * (COPIES * parameters + NUMBERS_OF_RUN + 2 * (steps or RAMP))
    require_memory(f"--points {points} --steps {steps or RAMP}", 8 * numbers)
    stability = stability_at_start(spec.problem, spec.data, spec.loader)
    limits = default_range(stability)
    if low is not None or high is not None:
        low, high = limits.low if low is None else low, limits.high if high is None else high
        limits = Range(low, high, limits.limit, is_fixed=True)
    if not limits.low < limits.high:
        raise bad_value(f"--low {low:g} --high {high:g}", "--low below --high")
    if ramp:
        steps = steps or min(RAMP, max(FEWEST, spec.clock.steps_per_epoch))
        engine = _ramp_engine(spec, config["engine"]["name"], limits, steps)
        result = try_ramp(engine, limits.low, limits.high, steps, known_limit(stability))
    else:
        name = config["engine"]["name"]
        trials = Trials(
            spec.problem, spec.data, spec.loader,
            epochs=spec.epochs, stopping=spec.stopping, engine=name,
        )  # fmt: skip
        search = Search(trials, steps or default_steps(trials, points), limits)
        search.run(points, FINER)
        search.confirm(CONFIRMED, SECONDS)
        result = range_test(search, trials.start, known_limit(stability))
    target = claim(root) if folder is None else root
    target.mkdir(parents=True, exist_ok=True)
    with RunFolder(target).lock():  # a run may train in it
        _write(target, result, overrides)
    return result, target


def result_text(result: RangeTest, folder: Path) -> str:
    """Return the text that the command line prints."""
    lr, reason = result.suggestion
    lines = [("suggestion", f"lr={lr:.3g}: {reason}" if lr else f"none: {reason}")]
    if result.held_out is not None:
        rate, loss = result.held_out
        lines.append(("held out", f"lr={rate:g}: the lowest validation loss ({loss:.4g})"))
    if result.limit is not None:
        limit = rounded_down(result.limit, 3)
        lines.append(("stable", f"up to lr {limit}"))
    if result.too_large is not None:
        lines.append(("diverges", f"from lr {result.too_large:.3g} on"))
    method = "one run, lr grows" if result.ramp else f"{len(result.rates)} runs"
    span = f"{result.rates[0]:.3g} to {result.rates[-1]:.3g}"
    lines.append(("tested", f"lr {span}, {method}, {result.steps:,} steps"))
    lines.append(("picture", str(shown_path(picture_path(folder, LR_RANGE)))))
    return "\n".join(printable(f"{name:<14}{value}") for name, value in lines)


def _ramp_engine(spec: RunSpec, name: str, limits: Range, steps: int) -> Engine:
    """Return an engine of one run whose learning rate grows."""
    problem = with_lr(spec.problem, limits.low)
    ramp = replace(problem, schedule=Ramp(limits.high / limits.low, steps))
    epochs = -(-steps // spec.clock.steps_per_epoch)
    return build_engine(name, [ramp], spec.data, spec.loader, epochs=epochs)


def _write(folder: Path, result: RangeTest, overrides: Sequence[str]) -> None:
    picture = png(draw(result))
    path = write_picture(folder, LR_RANGE, picture)
    write_atomically(dark_path(path), png(draw(result, DARK), DARK))
    content = {**result.to_json(), "overrides": list(overrides)}
    write_atomically(folder / RESULT, json.dumps(content, indent=2) + "\n")
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
