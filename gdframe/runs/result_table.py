"""The table that a run prints at its end."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdframe.errors import printable, rounded_down
from gdframe.runs.coefficients_table import largest
from gdframe.runs.result import Result


def table(result: Result) -> str:
    """Return the table of a run as text, one line for each quantity."""
    lines = [
        ("status", f"{result.status}: {result.reason}"),
        ("run", f"{_problem(result)}, {result.optimizer}, lr {result.lr:g}, seed {result.seed}"),
        ("epochs", f"{result.epochs:,} ({result.steps:,} steps, {result.samples:,} samples)"),
        ("objective", f"{result.objective:.6g}"),
        ("gradient norm", f"{result.gradient_norm:.3g}"),
    ]
    if result.loss is not None:
        lines.append(("train", _part(result.train_loss, result.metrics["train"])))
    if result.validation_loss is not None:
        lines.append(("validation", _part(result.validation_loss, result.metrics["validation"])))
    if result.test_loss is not None:
        lines.append(("test", _part(result.test_loss, result.metrics["test"])))
    if result.baseline:
        lines.append(("baseline", _baseline(result.baseline)))
    if result.coefficients:
        lines.append(("coefficients", largest(result.coefficients)))
    if "lambda_max" in result.diagnostics:
        lines.append(("curvature", _curvature(result.diagnostics)))
    if "minimum" in result.diagnostics and "theory/gap" in result.history.epochs:
        lines.append(("theory", _theory(result.diagnostics)))
    if result.loss is None:
        lines.append(("point", _point(result)))
    seconds = result.seconds
    lines.append(("seconds", f"{seconds['train']:.3g} training, {seconds['setup']:.3g} set-up"))
    if result.folder is not None:
        folder = shlex.quote(str(shown_path(result.folder)))
        lines.append(("folder", folder))
        lines.append(("TensorBoard", f"tensorboard --logdir {folder}{_thinned(result)}"))
    return "\n".join(printable(f"{name:<14}{value}") for name, value in lines)


def shown_path(path: Path) -> Path:
    """Return a path relative to the working directory, if it is inside."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path


def _problem(result: Result) -> str:
    engine = f"engine {result.engine}" + (f" on {result.device}" if result.device != "cpu" else "")
    if result.loss is None:
        return f"{result.model}, {engine}"
    return f"{result.model} model, {result.loss}, variant {result.variant}, {engine}"


def _part(loss: float, metrics: dict[str, float]) -> str:
    values = [f"loss {loss:.6g}", *(f"{name} {value:.4g}" for name, value in metrics.items())]
    return ", ".join(values)


def _baseline(baseline: Mapping[str, Any]) -> str:
    """Return the metrics of the baseline on held-out rows, else on training rows."""
    part = next(part for part in ("test", "validation", "train") if part in baseline)
    values = ", ".join(f"{name} {value:.4g}" for name, value in baseline[part].items())
    return f"{baseline['name']}: {part} {values}"


def _point(result: Result) -> str:
    values = result.point or []
    shown = ", ".join(f"{value:.6g}" for value in values[:6])
    return f"({shown}{', ...' if len(values) > 6 else ''})"


def _curvature(facts: Mapping[str, Any]) -> str:
    place = facts.get("curvature_place", "")
    rows = f", on {facts['curvature_rows']:,} rows" if "curvature_rows" in facts else ""
    text = f"lambda_max {facts['lambda_max']:.4g}{f' {place}' if place else ''}{rows}"
    if "stability_limit" not in facts:
        return text
    limit = rounded_down(facts["stability_limit"], 3)
    if place:
        return f"{text}: the limit of lr there is {limit}"
    text += f", stable up to lr {limit}"
    if "noisy_limit" in facts:
        text += f" (full batch), {rounded_down(facts['noisy_limit'], 3)} at this batch size"
    elif "limit_of_full_batches" in facts:
        text += " (full batch)"
    return text


def _theory(facts: Mapping[str, float]) -> str:
    text = f"minimum {facts['minimum']:.6g}, condition number {facts['condition_number']:.4g}"
    names = [name for name in ("predicted", "measured") if f"{name}_rate" in facts]
    rates = ", ".join(f"{facts[f'{name}_rate']:.6g} ({name})" for name in names)
    return f"{text}, gap times {rates} per epoch" if rates else text


def _thinned(result: Result) -> str:
    stride = result.history.stride
    return f"  (every {_ordinal(stride)} step: logging.max_points)" if stride > 1 else ""


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{'th' if number % 100 in (11, 12, 13) else ending}"
