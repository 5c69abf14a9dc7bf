"""The content of the page of a sweep: ranking, differences, and the curves of all runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gdframe.cli.report.page import Page, Picture, Table, number, pictures_in
from gdframe.cli.report.sweep_figures import MOST_DAMAGES, name_of, sweep_figures
from gdframe.cli.report.versions_table import versions_of
from gdframe.config.command import sweep_command
from gdframe.runs import picture_files
from gdframe.runs.folder import optional
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import Configuration, Record, best, configurations, winner
from gdframe.sweeps.comparing.comparison import varied as varied_keys
from gdframe.sweeps.comparing.differences import differences
from gdframe.sweeps.comparing.intervals import share_text
from gdframe.sweeps.comparing.minima import minima
from gdframe.sweeps.comparing.records import metric_of, read_records
from gdframe.sweeps.comparing.scales import scale_keys
from gdframe.sweeps.comparing.sweep_metric import value_of
from gdframe.sweeps.writing.sweep_table import METHOD, command_of, sentence, statuses

MOST_CONFIGURATIONS = 100
"""Most rows of the comparison; the summary has all."""

PICTURES = {
    picture_files.LEARNING_RATES: (
        "By learning rate", "The metric by learning rate, with a line for each variant"
    ),
    picture_files.HEAT_MAP: ("Over two keys", "The metric over two of the varied keys"),
}  # fmt: skip
"""Title and description by the name of a picture that is drawn."""

LANDSCAPE = {
    picture_files.LANDSCAPE: ("Landscape", "Contours of the objective with paths on it"),
}  # fmt: skip
"""Title and description of a picture that is in the folder."""


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
    )
    page.tables["Which is best?"] = [_comparison(ranked, metric)]
    if compared:
        sentences = [[sentence(difference)] for difference in compared]
        caption = f"{metric} {METHOD.format(repeat=ranked[0].repeat)}"
        page.tables["Could that be chance?"] = [Table(["difference"], sentences, caption)]
    reached = minima(records)
    if reached:
        rows = [[m.model, share_text(m.runs, m.starts), m.objective,
                 ", ".join(f"{x:.4g}" for x in m.point[:6])]
                for m in reached[:MOST_CONFIGURATIONS]]  # fmt: skip
        head = ["function", "share of starts (95 % interval)", "value", "point"]
        page.tables["Which minima were reached?"] = [Table(head, rows, "Minima")]
    figures = sweep_figures(records, ranked, metric, page.notes)
    page.figures, page.curves, page.groups = figures.figures, figures.curves, figures.groups
    if figures.axes:
        page.axes = figures.axes
        page.axis = "samples" if "samples" in page.axes else "step"  # comparable across variants
    page.tables["All runs"] = [_runs(records, keys, metric)]
    results = [record.result for record in records if record.result is not None]
    page.tables["Versions"] = [versions_of(results, page.notes)]
    page.pictures = [*_pictures(ranked, metric, page.notes), *pictures_in(folder, LANDSCAPE)]
    return page


def _pictures(ranked: Sequence[Configuration], metric: str, notes: list[str]) -> list[Picture]:
    """Return the pictures that suit the sweep, drawn for light and for dark pages."""
    from gdframe.drawing import DARK, LIGHT, png
    from gdframe.sweeps.writing.pictures import figures

    if len(ranked) < 2:
        return []
    try:
        drawn = [
            {key: png(figure, look) for key, figure in figures(ranked, metric, look).items()}
            for look in (LIGHT, DARK)
        ]
    except Exception as error:  # the rest of the page is worth more than its pictures
        notes.append(f"No pictures: {type(error).__name__}: {error}.")
        return []
    light, dark = drawn
    pictures = []
    for (name, part), content in light.items():
        title, words = PICTURES[name]
        suffix = f", {part}" if part else ""
        pictures.append(Picture(content, words + suffix, title + suffix, dark[name, part]))
    return pictures


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
        name = name_of(winning) or "the only configuration"
        problem = f" of {', '.join(f'{k}={v}' for k, v in winning.problem.items())}"
        text = f"Best{problem if winning.problem else ''}: {name}, {metric} {number(winning.mean)}"
        interval = winning.interval
        if interval is not None:
            text += f" (95 % interval {number(interval[0])} to {number(interval[1])})"
        elif len(winning.records) > 1:
            text += f" ({winning.no_interval})"
        lines.append(f"{text}.")
    missing = sum(record.status == "not ended" for record in records)
    if missing:
        lines.append(f"{missing:,} runs have not ended.")
    damages = [record.damage for record in records if record.damage]
    lines += [f"{damage}." for damage in damages[:MOST_DAMAGES]]
    if len(damages) > MOST_DAMAGES:
        lines.append(f"{len(damages) - MOST_DAMAGES:,} more results are damaged.")
    return lines or ["No run has a value to compare."]


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
    repeats = ["deviation", "95 % interval", f"{ranked[0].repeat}s"] if has_seeds else []
    head = [*keys, metric, *repeats]
    head.append("status")
    rows = []
    for configuration in shown:
        line: list[Any] = [configuration.settings.get(key) for key in keys]
        line.append(None if math.isnan(configuration.mean) else configuration.mean)
        if has_seeds:
            interval = configuration.interval
            text = configuration.no_interval or None
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
