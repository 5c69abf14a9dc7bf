"""The content of the page of a sweep: ranking, differences, and the curves of all runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdframe.cli.report.page import Figure, Page, Table, number, pictures_in
from gdframe.cli.report.page_curves import by_epoch, points, word
from gdframe.cli.report.run_page import versions_of
from gdframe.config.command import sweep_command
from gdframe.runs import picture_files
from gdframe.runs.folder import optional
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import (
    Configuration,
    Record,
    best,
    configurations,
    differences,
)
from gdframe.sweeps.comparing.comparison import varied as varied_keys
from gdframe.sweeps.comparing.minima import minima
from gdframe.sweeps.comparing.records import metric_of, read_records
from gdframe.sweeps.comparing.scales import scale_keys
from gdframe.sweeps.comparing.sweep_metric import WORTHLESS, value_of
from gdframe.sweeps.writing.sweep_table import METHOD, command_of, sentence, statuses, winner

MOST_CONFIGURATIONS = 100
"""Most rows of the comparison; the summary has all."""

MOST_DAMAGES = 5
"""Most messages on damaged files."""

MEASURES = ("objective", "validation_loss", "train_loss", "gradient_norm")
"""Columns in the figure of all runs."""

PICTURES = {
    picture_files.LEARNING_RATES: (
        "By learning rate", "The metric by learning rate, with a line for each variant"
    ),
    picture_files.HEAT_MAP: ("Over two keys", "The metric over two of the varied keys"),
    picture_files.LANDSCAPE: ("Landscape", "Contours of the objective with paths on it"),
}  # fmt: skip
"""Title and description by the name of a picture."""


def describe_sweep(folder: Path) -> Page:
    """Return the content of the page of a sweep."""
    records = read_records(folder)
    metric = metric_of(folder, [record.result for record in records])
    keys = varied_keys(records)
    ranked = configurations(records, metric, scale_keys(records, keys, metric))
    compared = differences(ranked, metric)
    counts = statuses(records)
    page = Page(
        title=f"Sweep {folder.resolve().name}",
        status="training" if SweepFolder(folder).is_training() else None,
        verdict=_verdict(records, ranked, metric),
        facts=[
            ("runs", f"{len(records):,}"),
            ("ended", ", ".join(f"{count:,} {name}" for name, count in counts.most_common())),
            ("varied", ", ".join(keys) or "nothing"),
            ("compared by", metric),
        ],
        commands=_commands(folder, ranked, metric),
        settings=_settings(records),
        axis="samples",  # comparable across variants
    )
    page.tables["Which is best?"] = [_comparison(ranked, metric)]
    if compared:
        sentences = [[sentence(difference)] for difference in compared]
        caption = f"{metric} {METHOD}"
        page.tables["Could that be chance?"] = [Table(["difference"], sentences, caption)]
    reached = minima(records)
    if reached:
        rows = [[m.model, f"{m.share:.1%}", m.objective, ", ".join(f"{x:.4g}" for x in m.point[:6])]
                for m in reached[:MOST_CONFIGURATIONS]]  # fmt: skip
        head = ["function", "share of starts", "value", "point"]
        page.tables["Which minima were found?"] = [Table(head, rows, "Minima")]
    page.figures, page.curves, page.groups = _figures(records, ranked, metric, page.notes)
    page.tables["All runs"] = [_runs(records, keys, metric)]
    results = [record.result for record in records if record.result is not None]
    page.tables["Versions"] = [versions_of(results, page.notes)]
    page.pictures = pictures_in(folder, PICTURES)
    return page


def _commands(folder: Path, ranked: Sequence[Configuration], metric: str) -> list[tuple[str, str]]:
    launch = sweep_command(folder)
    commands = [("The sweep:", launch)] if launch else []
    for configuration in best(ranked):
        problem = "".join(f" of {key}={value}" for key, value in configuration.problem.items())
        commands.append((f"The best run{problem}:", command_of(winner(configuration, metric))))
    return commands


def _verdict(records: Sequence[Record], ranked: Sequence[Configuration], metric: str) -> list[str]:
    lines = []
    for winning in best(ranked):
        name = _name(winning) or "the only configuration"
        problem = f" of {', '.join(f'{k}={v}' for k, v in winning.problem.items())}"
        text = f"Best{problem if winning.problem else ''}: {name}, {metric} {number(winning.mean)}"
        interval = winning.interval
        if interval is not None:
            text += f" (95 % interval {number(interval[0])} to {number(interval[1])})"
        elif len(winning.records) > 1:
            text += f" (mean of {len(winning.values)} seeds, too few for an interval)"
        lines.append(f"{text}.")
    missing = sum(record.status == "not ended" for record in records)
    if missing:
        lines.append(f"{missing:,} runs have not ended.")
    damages = [record.damage for record in records if record.damage]
    lines += [f"{damage}." for damage in damages[:MOST_DAMAGES]]
    if len(damages) > MOST_DAMAGES:
        lines.append(f"{len(damages) - MOST_DAMAGES:,} more results are damaged.")
    return lines or ["No run has a value to compare."]


def _name(item: Configuration | Record) -> str:
    return ", ".join(f"{key}={value}" for key, value in item.settings.items())


def _settings(records: Sequence[Record]) -> str:
    """Return the config of the first run that has one which can be read."""
    for record in records:
        run = RunFolder(record.folder)
        if text := optional(run.read_config_text, ""):
            return f"# of run {run.path.name}\n{text}"
    return ""


def _comparison(ranked: Sequence[Configuration], metric: str) -> Table:
    shown = ranked[:MOST_CONFIGURATIONS]
    keys = list(dict.fromkeys(key for configuration in ranked for key in configuration.settings))
    has_seeds = any(len(configuration.records) > 1 for configuration in ranked)
    head = [*keys, metric, *(["deviation", "95 % interval", "seeds"] if has_seeds else [])]
    head.append("status")
    rows = []
    for configuration in shown:
        line: list[Any] = [configuration.settings.get(key) for key in keys]
        line.append(None if math.isnan(configuration.mean) else configuration.mean)
        if has_seeds:
            interval = configuration.interval
            text = "too few seeds" if configuration.values else None
            if interval is not None:
                text = f"{number(interval[0])} to {number(interval[1])}"
            line += [configuration.deviation, text, len(configuration.values)]
        counts = configuration.statuses.most_common()
        rows.append([*line, ", ".join(f"{count} {name}" for name, count in counts)])
    hidden = len(ranked) - len(shown)
    note = f"{hidden:,} more are in summary.json." if hidden else ""
    return Table(head, rows, "Configurations, best first", note)


def _runs(records: Sequence[Record], keys: Sequence[str], metric: str) -> Table:
    head = ["run", *keys, metric, "status", "epochs", "steps", "samples", "seconds", "lr / limit"]
    rows = []
    for record in records:
        result: Mapping[str, Any] = record.result or {}
        facts = result.get("diagnostics") or {}
        limit = facts.get("noisy_limit") or facts.get("stability_limit")
        lr = result.get("lr")
        rows.append(
            [
                Path(record.folder).name,
                *(record.settings.get(key) for key in keys),
                None if record.result is None else value_of(result, metric),
                record.status,
                *(result.get(key) for key in ("epochs", "steps", "samples")),
                (result.get("seconds") or {}).get("train"),
                lr / limit if limit and lr else None,
            ]
        )
    note = "“lr / limit” is the learning rate divided by the largest stable one, if that is known."
    return Table(head, rows, "Every run", note)


def _figures(
    records: Sequence[Record], ranked: Sequence[Configuration], metric: str, notes: list[str]
) -> tuple[list[Figure], list[dict[str, Any]], list[str]]:
    """Return a figure of all runs, their curves, and the names of their configurations."""
    histories = {
        record.folder: RunFolder(record.folder).read_history(record.result) for record in records
    }
    damages = [message for history in histories.values() for message in history.damages]
    notes += [f"{damage}." for damage in damages[:MOST_DAMAGES]]
    measures = [name for name in MEASURES
                if any(name in history.epochs for history in histories.values())]  # fmt: skip
    if metric in measures:
        measures.insert(0, measures.pop(measures.index(metric)))
    missing = sum(not history.epochs for history in histories.values())
    if missing:
        notes.append(
            f"{missing:,} of {len(records):,} runs have no curves: neither a checkpoint nor an "
            "event file with measurements."
        )
    if not measures:
        return [], [], []
    most = points(len(records) * len(measures))
    curves, groups, words = [], [], []
    for index, configuration in enumerate(ranked):
        groups.append(_name(configuration) or "all")
        last_values = []
        for record in configuration.records:
            history = histories[record.folder]
            columns = [name for name in measures if name in history.epochs]
            if columns:
                name = f"run {Path(record.folder).name}: {_name(record) or 'as configured'}"
                lost = (record.result or {}).get("status") in WORTHLESS
                axes = by_epoch(history, columns, most)
                curves.append({"name": name, "group": index, "lost": lost, **axes})
                if measures[0] in history.epochs:
                    last_values.append(float(history.epochs[measures[0]][-1]))
        finite = [value for value in last_values if np.isfinite(value)]
        if finite and index < 8:
            words.append(
                f"{groups[-1]}: {word(measures[0])} ends at {number(float(np.mean(finite)))}."
            )
    return [Figure("How do the runs descend?", measures, False, words)], curves, groups
