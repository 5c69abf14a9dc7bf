"""The content of the page of one run: verdict, curves, tables, pictures and settings."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gdframe.cli.report.page import Figure, Page, Picture, Table, pictures_in
from gdframe.cli.report.page_curves import by_epoch, by_step, in_words, points
from gdframe.config.command import command, resume_command
from gdframe.config.values import plain, read_config
from gdframe.errors import UserError, reason_of
from gdframe.runs import picture_files
from gdframe.runs.recorded_history import RecordedHistory
from gdframe.runs.result import versions
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import Status

QUICK_SECONDS, QUICK_BYTES = 5.0, 1 << 28
"""Longest training of a run that is trained again for its landscape, and most bytes of its data."""

MOST_PARAMETERS = 8
"""Most parameters in a figure of gradient norms."""

LANDSCAPE = ("The landscape around its path", "Contours of the objective with the run's path on it")

PICTURES = {
    picture_files.LANDSCAPE: LANDSCAPE,
    picture_files.LR_RANGE: ("Learning-rate range", "The objective reached by each learning rate"),
}
"""Title and description by the name of a picture."""


def describe_run(folder: Path, *, landscape: bool) -> Page:
    """Return the content of the page of a run.

    Raises:
        UserError: the config cannot be read.
    """
    config = plain(read_config(folder))
    run = RunFolder(folder)
    result, damage = run.find_result()
    history = run.read_history(result)
    if history.source == "checkpoint":
        history.add_updates(run.read_curves(history.damages))
    status, verdict = _verdict(folder, result, history, damage)
    page = Page(
        title=f"Run {folder.resolve().name}",
        status=status,
        verdict=verdict,
        facts=_facts(config, result),
        commands=[("", command(folder, run.read_overrides()))],
        settings=run.read_config_text(),
    )
    page.figures, page.curves = _figures(history)
    if not history.epochs:
        page.notes.append(
            "No curves: there is neither a checkpoint nor an event file with measurements "
            "(logging.tensorboard and checkpoint.every were off, or the files were removed)."
        )
    elif history.source == "events":
        page.notes.append(
            "The curves come from the event file: steps, samples and seconds of an epoch are "
            "interpolated from the totals of the run."
        )
    page.notes += [f"{message}." for message in history.damages]
    if result is not None:
        page.tables["Result"] = _outcome(result)
        if result.get("diagnostics"):
            page.tables["Stability and theory"] = [_evidence(result)]
    page.tables["Versions"] = [versions_of([] if result is None else [result], page.notes)]
    page.pictures = _pictures(folder, config, result, page.notes, draw=landscape)
    return page


def _verdict(
    folder: Path, result: Mapping[str, Any] | None, history: RecordedHistory, damage: str
) -> tuple[str, list[str]]:
    """Return the status, and sentences that explain it."""
    is_training = RunFolder(folder).is_training()
    if is_training and (result is None or result.get("status") == Status.INTERRUPTED):
        epochs = history.epochs.get("epoch", np.zeros(0))
        done = f"{int(epochs[-1]):,} epochs are done" if len(epochs) else "no epoch is done"
        return "training", [f"The run is in progress: {done} when this page is written."]
    if damage:
        return "damaged", [f"{damage}."]
    if result is None:
        return "not ended", [
            "The run has no result: it was killed, or has not started. "
            f"Continue it by {resume_command(folder)}."
        ]
    return str(result.get("status", "unknown")), [str(result.get("reason", ""))]


def _facts(config: Mapping[str, Any], result: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    fields = result or {}

    def name(group: str) -> str:
        return str(fields.get(group) or (config.get(group) or {}).get("name", "by default"))

    facts = [("model", name("model"))]
    if fields.get("point") is None:
        facts += [("data", str((config.get("data") or {}).get("name"))), ("loss", name("loss"))]
    facts += [
        ("variant", str(fields.get("variant", config.get("variant")))),
        ("update rule", name("optimizer")),
        ("learning rate", f"{config['lr']:g}"),
        ("seed", str(config["seed"])),
        ("engine", f"{name('engine')} ({reason})"
         if (reason := fields.get("engine_reason")) else name("engine")),
    ]  # fmt: skip
    return facts


def _outcome(result: Mapping[str, Any]) -> list[Table]:
    names = {
        "objective": "objective", "train_loss": "training loss",
        "validation_loss": "validation loss", "gradient_norm": "gradient norm", "epochs": "epochs",
        "steps": "steps", "samples": "samples", "gradient_evaluations": "gradient evaluations",
        "parameter_count": "parameters",
    }  # fmt: skip
    rows: list[list[Any]] = [
        [label, result.get(key)] for key, label in names.items() if result.get(key) is not None
    ]
    seconds = result.get("seconds") or {}
    for key, label in (("train", "seconds, training"), ("setup", "seconds, set-up")):
        if key in seconds:
            rows.append([label, seconds[key]])
    tables = [Table(["quantity", "value"], rows, "At the end")]
    metrics = result.get("metrics") or {}
    if metrics.get("train"):
        validation = metrics.get("validation") or {}
        lines = [[name, value, validation.get(name)] for name, value in metrics["train"].items()]
        tables.append(Table(["metric", "training", "validation"], lines, "Metrics"))
    if result.get("point"):
        tables.append(
            Table(["coordinate", "value"], [[i, x] for i, x in enumerate(result["point"], 1)],
                  "Last point")
        )  # fmt: skip
    return tables


EVIDENCE = {
    "lambda_max": "largest eigenvalue of the Hessian",
    "lambda_min": "smallest eigenvalue of the Hessian",
    "stability_limit": "largest stable learning rate",
    "noisy_limit": "largest stable learning rate at this batch size",
    "minimum": "exact minimum",
    "condition_number": "condition number",
    "predicted_rate": "factor of the gap an epoch, predicted",
    "measured_rate": "factor of the gap an epoch, measured",
}
"""Labels by field of the diagnostics."""


def _evidence(result: Mapping[str, Any]) -> Table:
    facts = result["diagnostics"]
    rows = [[EVIDENCE.get(name, name), value] for name, value in facts.items()
            if not isinstance(value, (dict, list))]  # fmt: skip
    limit = facts.get("noisy_limit") or facts.get("stability_limit")
    if limit and result.get("lr") is not None:
        rows.append(["learning rate divided by that limit", result["lr"] / limit])
    if facts.get("minimum") is not None and result.get("objective") is not None:
        rows.append(["objective minus minimum", result["objective"] - facts["minimum"]])
    return Table(["quantity", "value"], rows, "Curvature and minimum")


PREFERRED = ("accuracy", "r2")
"""Metrics to show first."""


def versions_of(results: list[Mapping[str, Any]], notes: list[str]) -> Table:
    """Return the versions that trained runs, and add a note if they differ from each other."""
    current = versions()
    if not results:  # no run has recorded its versions yet
        return Table(["", "this page by"], [[*pair] for pair in current.items()], "Versions")
    names = dict.fromkeys(name for r in results for name in r.get("versions") or {})
    rows = []
    for name in names:
        used = [(r.get("versions") or {}).get(name, "unknown") for r in results]
        counts = {version: used.count(version) for version in dict.fromkeys(used)}
        text = ", ".join(
            version if len(counts) == 1 else f"{version} ({count:,} runs)"
            for version, count in counts.items()
        )
        rows.append([name, text, current.get(name, "")])
        if len(counts) > 1:
            notes.append(f"The runs were trained by different versions of {name}: {text}.")
        elif name in current and next(iter(counts)) != current[name]:
            notes.append(f"Trained by {name} {text}; this page was written by {current[name]}.")
    return Table(["", "trained by", "this page by"], rows, "Versions")


def _figures(history: RecordedHistory) -> tuple[list[Figure], list[dict[str, Any]]]:
    columns = history.epochs
    if "objective" not in columns:
        return [], []
    losses = ["objective", "train_loss", "validation_loss"]
    if "train_loss" in columns and np.array_equal(columns["train_loss"], columns["objective"]):
        losses.remove("train_loss")
    norms = [name for name in columns if name.startswith("gradient_norm/")][:MOST_PARAMETERS]
    ratios = [name for name in columns if name.startswith("update_ratio/")][:MOST_PARAMETERS]
    scores = [name for name in columns if name.partition("/")[0] in ("train", "validation")]
    names = [name.partition("/")[2] for name in scores]
    first = next((name for name in (*PREFERRED, *names) if name in names), "")
    questions = [
        ("Is it descending?", losses),
        ("Is it stable?", ["curvature/lr_times_lambda_max"]),
        ("How far from the minimum?", ["theory/gap"]),
        ("Is it generalising?", [s for s in scores if s.partition("/")[2] == first]),
        ("Is the gradient vanishing?", ["gradient_norm", *(norms if len(norms) > 1 else [])]),
        ("Which layer moves?", ratios),
        ("Which learning rate?", ["lr"] if len(np.unique(columns.get("lr", [0]))) > 1 else []),
    ]
    figures, drawn = [], []
    for title, names in questions:
        measures = [name for name in names if name in columns and np.isfinite(columns[name]).any()]
        if measures:
            words = in_words({name: columns[name] for name in measures})
            limit = columns.get("curvature/stability_limit", np.zeros(0))
            reference = None
            if title == "Is it stable?" and len(limit) and np.isfinite(limit[-1]):
                reference = float(limit[-1]), "stability limit of the update rule"
            figures.append(Figure(title, measures, True, words, reference))
            drawn += [name for name in measures if name not in drawn]
    runs = [{"name": "", "group": 0, **by_epoch(history, drawn, points(1))}]
    steps = by_step(history, points(1))
    if steps is not None:
        runs.append({"name": "", "group": 0, **steps})
        words = in_words({f"{n}/step": v for n, v in history.steps.items() if n != "step"})
        figures.insert(1, Figure("And step by step?", list(steps["y"]), True, words))
    return figures, runs


def _pictures(
    folder: Path,
    config: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    notes: list[str],
    *,
    draw: bool,
) -> list[Picture]:
    """Return the pictures in the folder, and the landscape of a run that trains quickly."""
    pictures = pictures_in(folder, PICTURES)
    if any(picture.title == LANDSCAPE[0] for picture in pictures) or not draw or result is None:
        return pictures
    seconds = float((result.get("seconds") or {}).get("train") or 0)
    if seconds > QUICK_SECONDS or _bytes_of_data(config) > QUICK_BYTES:
        notes.append(
            "No landscape: it needs another training of the run. To add it, use "
            f"python -m gdframe landscape {shlex.quote(str(folder))} and write the report again."
        )
        return pictures
    from gdframe.cli.landscape import landscape
    from gdframe.cli.landscape_pictures import picture

    try:
        png = picture(landscape(str(folder), seconds=QUICK_SECONDS))
    except Exception as error:  # the rest of the page is worth more than its last picture
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        notes.append(f"No landscape: {reason_of(error) or f'{kind}{error}'}.")
        return pictures
    return [Picture(png, LANDSCAPE[1], LANDSCAPE[0]), *pictures]


def _bytes_of_data(config: Mapping[str, Any]) -> float:
    """Return about how many bytes of data a config names: a file, or rows and features."""
    data = config["data"]
    if isinstance(path := data.get("path"), str):
        from gdframe.data.reader import size_of  # which imports PyArrow

        return size_of(path)
    sizes = [data.get(key) for key in ("rows", "features") if isinstance(data.get(key), int)]
    return float(8 * math.prod(sizes))
