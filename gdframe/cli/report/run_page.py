"""The content of the page of one run: verdict, curves, tables, pictures and settings."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gdframe.cli.report.page import Page, Picture, Table, pictures_in
from gdframe.cli.report.prediction_tables import coefficient_tables, prediction_tables
from gdframe.cli.report.run_figures import figures_of, has_batches
from gdframe.cli.report.versions_table import versions_of
from gdframe.config.command import command, resume_command
from gdframe.config.known_minimum import known_minimum
from gdframe.config.values import files_of_data, plain, rate_text, read_config
from gdframe.errors import UserError, reason_of
from gdframe.runs import picture_files
from gdframe.runs.recorded_history import RecordedHistory
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import Status

log = logging.getLogger("gdframe")

QUICK_SECONDS, QUICK_BYTES = 5.0, 1 << 28
"""Longest training of a run that is trained again for its landscape, and most bytes of its data."""

MOST_COORDINATES = 50
"""Most coordinates of a function's last point that are shown."""

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
    page.figures, page.curves = figures_of(history, result, known_minimum(result, folder))
    # the samples of full batches are a multiple of the steps, and a function has none
    page.axes = ["step", *(["samples"] if has_batches(history, result) else []), "seconds"]
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
        page.tables["Result"] = [*_outcome(result), *prediction_tables(result)]
        page.tables["Coefficients"] = coefficient_tables(run, page.notes)
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
        facts += [
            ("data", str((config.get("data") or {}).get("name"))),
            ("loss", name("loss")),
            ("variant", str(fields.get("variant", config.get("variant")))),
        ]
    facts += [
        ("update rule", name("optimizer")),
        ("learning rate", rate_text(config["lr"])),
        ("seed", str(config["seed"])),
        ("engine", f"{name('engine')} ({reason})"
         if (reason := fields.get("engine_reason")) else name("engine")),
        ("device", str(fields.get("device", config["device"]))),
    ]  # fmt: skip
    return facts


def _outcome(result: Mapping[str, Any]) -> list[Table]:
    names = {
        "objective": "objective", "train_loss": "training loss",
        "validation_loss": "validation loss", "test_loss": "test loss",
        "gradient_norm": "gradient norm", "epochs": "epochs",
        "steps": "steps", "samples": "samples", "gradient_evaluations": "gradient evaluations",
        "parameter_count": "parameters",
    }  # fmt: skip
    said = _repeated(result)
    rows: list[list[Any]] = [
        [label, result.get(key)]
        for key, label in names.items()
        if result.get(key) is not None and key not in said
    ]
    seconds = result.get("seconds") or {}
    for key, label in (("train", "seconds, training"), ("setup", "seconds, set-up")):
        if key in seconds:
            rows.append([label, seconds[key]])
    tables = [Table(["quantity", "value"], rows, "At the end")]
    if point := result.get("point"):
        title = "Last point"
        if len(point) > MOST_COORDINATES:
            title += f", {MOST_COORDINATES} of {len(point):,} coordinates"
        coordinates = [[i, x] for i, x in enumerate(point[:MOST_COORDINATES], 1)]
        tables.append(Table(["coordinate", "value"], coordinates, title))
    return tables


def _repeated(result: Mapping[str, Any]) -> set[str]:
    """Return the fields that another field says already."""
    fields = (
        {"gradient_evaluations"}
        if result.get("gradient_evaluations") == result.get("steps")
        else set()
    )
    if result.get("train_loss") == result.get("objective"):
        fields.add("train_loss")
    if result.get("steps") == result.get("epochs"):
        fields.add("epochs")
    return fields | ({"samples"} if result.get("point") is not None else set())


EVIDENCE = {
    "lambda_max": "largest eigenvalue of the Hessian",
    "lambda_min": "smallest eigenvalue of the Hessian",
    "curvature_place": "where they were measured",
    "curvature_rows": "rows they were measured on",
    "limit_of_full_batches": "that rate is of full batches alone",
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


def _pictures(
    folder: Path,
    config: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    notes: list[str],
    *,
    draw: bool,
) -> list[Picture]:
    """Return the pictures in the folder, and the landscape of a run that trains quickly.

    A query that the folder names is not run: it may take forever.
    """
    pictures = pictures_in(folder, PICTURES)
    if any(picture.title == LANDSCAPE[0] for picture in pictures) or not draw or result is None:
        return pictures
    seconds = float((result.get("seconds") or {}).get("train") or 0)
    reason = ""
    if config["data"].get("query"):
        reason = "its data come from a query, which a report does not run"
    elif seconds > QUICK_SECONDS or _bytes_of_data(config) > QUICK_BYTES:
        reason = "it needs another training of the run"
    if reason:
        notes.append(
            f"No landscape: {reason}. To add it, use python -m gdframe landscape "
            f"{shlex.quote(str(folder))} and write the report again."
        )
        return pictures
    from gdframe.cli.landscape import landscape
    from gdframe.cli.landscape_pictures import picture
    from gdframe.drawing import DARK

    try:
        drawn = landscape(str(folder), seconds=QUICK_SECONDS)
        png, dark = picture(drawn), picture(drawn, DARK)
    except Exception as error:  # the rest of the page is worth more than its last picture
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        reason = reason_of(error) or f"{kind}{error}"
        if files_of_data(config["data"]):  # it may quote them, and the page may be passed on
            log.warning("warning: no landscape: %s", reason)
            command = f"python -m gdframe landscape {shlex.quote(str(folder))}"
            reason = f"it could not be drawn where the report was written; {command} tells why"
        notes.append(f"No landscape: {reason}.")
        return pictures
    return [Picture(png, LANDSCAPE[1], LANDSCAPE[0], dark), *pictures]


def _bytes_of_data(config: Mapping[str, Any]) -> float:
    """Return about how many bytes of data a config names: files, or rows and features."""
    data = config["data"]
    if files := files_of_data(data):
        from gdframe.data.reader import size_of  # which imports PyArrow

        return sum(map(size_of, files.values()))
    rows, *columns = (
        value if isinstance(value := data.get(key), int) else 1
        for key in ("rows", "features", "classes", "outputs")
    )
    return float(8 * rows * sum(columns))
