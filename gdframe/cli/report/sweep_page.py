"""What the page of a sweep says: who won, whether it could be chance, and every run's curve."""

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
from gdframe.sweeps.comparing.records import read_records
from gdframe.sweeps.comparing.scales import scale_keys
from gdframe.sweeps.comparing.sweep_metric import WORTHLESS, default_metric, value_of
from gdframe.sweeps.writing.sweep_table import FAIRLY, command_of, sentence, statuses, winner

MOST_CONFIGURATIONS = 100
"""Most lines of the comparison; the summary has all."""

MEASURES = ("objective", "validation_loss", "train_loss", "gradient_norm")
"""What a figure of many runs can show, if they have it."""

PICTURES = {
    picture_files.LEARNING_RATES: (
        "By learning rate", "What the runs came to by learning rate, a line for each variant"
    ),
    picture_files.HEAT_MAP: ("Over two keys", "What the runs came to over two of the varied keys"),
    picture_files.LANDSCAPE: ("Landscape", "Contours of the objective with paths on it"),
}  # fmt: skip


def describe_sweep(folder: Path) -> Page:
    """Return what is known of a sweep."""
    records = read_records(folder)
    metric = _metric(folder, records)
    keys = varied_keys(records)
    found = configurations(records, metric, scale_keys(records, keys, metric))
    compared = differences(found, metric)
    counts = statuses(records)
    page = Page(
        title=f"Sweep {folder.resolve().name}",
        status="training" if SweepFolder(folder).is_training() else None,
        verdict=_verdict(records, found, metric),
        facts=[
            ("runs", f"{len(records):,}"),
            ("ended", ", ".join(f"{count:,} {name}" for name, count in counts.most_common())),
            ("varied", ", ".join(keys) or "nothing"),
            ("compared by", metric),
        ],
        commands=_commands(folder, found, metric),
        settings=_settings(records),
        axis="samples",  # fair where variants are compared
    )
    page.tables["Who is best?"] = [_comparison(found, metric)]
    if compared:
        sentences = [[sentence(difference)] for difference in compared]
        caption = f"{metric} {FAIRLY}"
        page.tables["Could that be chance?"] = [Table(["difference"], sentences, caption)]
    ends = minima(records)
    if ends:
        rows = [[e.model, f"{e.share:.1%}", e.objective, ", ".join(f"{x:.4g}" for x in e.point[:6])]
                for e in ends[:MOST_CONFIGURATIONS]]  # fmt: skip
        head = ["function", "share of starts", "value", "point"]
        page.tables["Which minima were found?"] = [Table(head, rows, "Minima")]
    page.figures, page.curves, page.groups = _figures(records, found, metric, page.notes)
    page.tables["All runs"] = [_runs(records, keys, metric)]
    results = [record.result for record in records if record.result is not None]
    page.tables["Versions"] = [versions_of(results, page.notes)]
    page.pictures = pictures_in(folder, PICTURES)
    return page


def _commands(folder: Path, found: Sequence[Configuration], metric: str) -> list[tuple[str, str]]:
    whole = sweep_command(folder)
    commands = [("The sweep:", whole)] if whole else []
    for one in best(found):
        of = "".join(f" of {key}={value}" for key, value in one.problem.items())
        commands.append((f"The best run{of}:", command_of(winner(one, metric))))
    return commands


def _metric(folder: Path, records: Sequence[Record]) -> str:
    """Return what the sweep compares its runs by, as its summary says."""
    if metric := SweepFolder(folder).read_summary().get("metric"):
        return str(metric)
    ended = (record.result for record in records if record.result is not None)
    return default_metric(next(ended, {}))


def _verdict(records: Sequence[Record], found: Sequence[Configuration], metric: str) -> list[str]:
    lines = []
    for one in best(found):
        chosen = _named(one) or "the only configuration"
        problem = f" of {', '.join(f'{k}={v}' for k, v in one.problem.items())}"
        text = f"Best{problem if one.problem else ''}: {chosen}, {metric} {number(one.mean)}"
        interval = one.interval
        if interval is not None:
            text += f" (95 % interval {number(interval[0])} to {number(interval[1])})"
        elif len(one.records) > 1:
            text += f" (mean of {len(one.values)} seeds, too few for an interval)"
        lines.append(f"{text}.")
    missing = sum(record.result is None for record in records)
    if missing:
        lines.append(f"{missing:,} runs have not ended.")
    return lines or ["No run has a value to compare."]


def _named(one: Configuration) -> str:
    return ", ".join(f"{key}={value}" for key, value in one.settings.items())


def _settings(records: Sequence[Record]) -> str:
    """Return the config of the first run that has one."""
    for record in records:
        run = RunFolder(record.folder)
        if run.is_run():
            return f"# of run {run.path.name}\n{run.read_config_text()}"
    return ""


def _comparison(found: Sequence[Configuration], metric: str) -> Table:
    shown = found[:MOST_CONFIGURATIONS]
    keys = list(dict.fromkeys(key for one in found for key in one.settings))
    several = any(len(one.records) > 1 for one in found)
    head = [*keys, metric, *(["deviation", "95 % interval", "seeds"] if several else []), "status"]
    rows = []
    for one in shown:
        line: list[Any] = [one.settings.get(key) for key in keys]
        line.append(None if math.isnan(one.mean) else one.mean)
        if several:
            interval = one.interval
            wide = "too few seeds" if one.values else None
            if interval is not None:
                wide = f"{number(interval[0])} to {number(interval[1])}"
            line += [one.deviation, wide, len(one.values)]
        status = ", ".join(f"{count} {name}" for name, count in one.statuses.most_common())
        rows.append([*line, status])
    left = len(found) - len(shown)
    note = f"{left:,} more are in summary.json." if left else ""
    return Table(head, rows, "Configurations, best first", note)


def _runs(records: Sequence[Record], keys: Sequence[str], metric: str) -> Table:
    head = ["run", *keys, metric, "status", "epochs", "steps", "samples", "seconds", "of its limit"]
    rows = []
    for record in records:
        result: Mapping[str, Any] = record.result or {}
        known = result.get("diagnostics") or {}
        limit = known.get("noisy_limit") or known.get("stability_limit")
        rate = result.get("lr")
        rows.append(
            [
                Path(record.folder).name,
                *(record.settings.get(key) for key in keys),
                None if record.result is None else value_of(result, metric),
                str(result.get("status", "not ended")),
                *(result.get(key) for key in ("epochs", "steps", "samples")),
                (result.get("seconds") or {}).get("train"),
                rate / limit if limit and rate else None,
            ]
        )
    note = "“Of its limit” is the learning rate over the largest stable one, where that is known."
    return Table(head, rows, "Every run", note)


def _figures(
    records: Sequence[Record], found: Sequence[Configuration], metric: str, notes: list[str]
) -> tuple[list[Figure], list[dict[str, Any]], list[str]]:
    """Return a figure of all runs, their curves, and the names of their configurations."""
    measured = {
        record.folder: RunFolder(record.folder).read_history(record.result) for record in records
    }
    there = [name for name in MEASURES
             if any(name in m.epochs for m in measured.values())]  # fmt: skip
    if metric in there:
        there.insert(0, there.pop(there.index(metric)))
    without = sum(not m.epochs for m in measured.values())
    if without:
        notes.append(
            f"{without:,} of {len(records):,} runs have no curves: neither a checkpoint nor an "
            "event file with measurements."
        )
    if not there:
        return [], [], []
    most = points(len(records) * len(there))
    curves, groups, words = [], [], []
    for place, one in enumerate(found):
        groups.append(_named(one) or "all")
        ends = []
        for record in one.records:
            mine = measured[record.folder]
            columns = [name for name in there if name in mine.epochs]
            if columns:
                name = f"run {Path(record.folder).name}: {_told(record) or 'as configured'}"
                lost = (record.result or {}).get("status") in WORTHLESS
                axes = by_epoch(mine, columns, most)
                curves.append({"name": name, "group": place, "lost": lost, **axes})
                if there[0] in mine.epochs:
                    ends.append(float(mine.epochs[there[0]][-1]))
        finite = [end for end in ends if np.isfinite(end)]
        if finite and place < 8:
            words.append(
                f"{groups[-1]}: {word(there[0])} ends at {number(float(np.mean(finite)))}."
            )
    return [Figure("How do the runs descend?", there, False, words)], curves, groups


def _told(record: Record) -> str:
    return ", ".join(f"{key}={value}" for key, value in record.settings.items())
