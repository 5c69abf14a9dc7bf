"""The summary that a sweep prints at its end: configurations, differences and the best run."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdframe.config.command import command
from gdframe.errors import counted, in_words, printable
from gdframe.runs.result import finite
from gdframe.runs.result_table import shown_path
from gdframe.runs.sweep_folder import SUMMARY_TABLE, SweepFolder
from gdframe.stopping import Status
from gdframe.sweeps.comparing.comparison import (
    Configuration,
    Record,
    best,
    configurations,
    results_of,
    varied,
    winner,
)
from gdframe.sweeps.comparing.differences import Difference, differences
from gdframe.sweeps.comparing.intervals import share_text
from gdframe.sweeps.comparing.minima import ReachedMinimum, minima
from gdframe.sweeps.comparing.scales import scale_keys
from gdframe.sweeps.comparing.sweep_metric import default_metric, value_of
from gdframe.sweeps.writing.summary_rows import Row, csv_text, flatten, row

MOST_LINES = 20
"""Most configurations in the table on the console."""

METHOD = (
    "of each level's best configuration, in pairs of equal {repeat}s (sign-flip test; p counts all "
    "pairs of levels and all configurations; a lost run is worse than any other)"
)
"""The method of the comparison of levels."""

COSTS_TO_TARGET = ("steps", "samples", "gradient_evaluations", "seconds.train")
"""Costs of a run to reach its target."""


@dataclass(frozen=True)
class Summary:
    """The summary of a sweep.

    Args:
        metric: to compare the runs by.
        rows: a row for each run.
        configurations: best first.
        differences: between levels of each varied key.
        text: for the console.
        content: of ``summary.json``.
        columns: the first columns of ``summary.csv``.
    """

    metric: str
    rows: list[Row]
    configurations: list[Configuration]
    differences: list[Difference]
    text: str
    content: dict[str, Any]
    columns: list[str]

    def write(self, folder: Path) -> None:
        """Write ``summary.csv`` and ``summary.json``.

        Raises:
            OSError: a file cannot be written.
        """
        table = csv_text(self.rows, self.columns)
        SweepFolder(folder).write_summary(table, _json_lines(finite(self.content)))


def compare(
    folder: Path, records: Sequence[Record], metric: str | None, left_out: Iterable[int] = ()
) -> Summary:
    """Return the summary of a sweep.

    Args:
        folder: the sweep folder.
        records: the runs.
        metric: to compare the runs by; by default validation loss or objective.
        left_out: numbers of runs in the folder that no longer belong to the sweep.
    """
    name = metric or default_metric(record.result for record in records)
    keys = varied(records)
    ranked = configurations(records, name, scale_keys(records, keys, name))
    minimum_table = minima(records)
    compared = differences(ranked, name)
    winners = {_joined(c.problem): command_of(winner(c, name)) for c in best(ranked)}
    rows = [
        row(record.result, record.settings, str(shown_path(Path(record.folder))))
        for record in records
    ]
    content = {
        "metric": name,
        "statuses": dict(statuses(records)),
        "varied": keys,
        "configurations": [configuration.to_json() for configuration in ranked],
        "differences": [difference.to_json() for difference in compared],
        "minima": [vars(minimum) for minimum in minimum_table],
        "winner": next(iter(winners.values())) if len(winners) == 1 else None,
        "winners": winners,
        "left_out": sorted(left_out),
        "runs": rows,
    }
    lines = _lines(
        folder, records, name, ranked, compared, minimum_table, winners, sorted(left_out)
    )
    columns = [key for record in records for key in record.settings]
    return Summary(name, rows, ranked, compared, "\n".join(map(printable, lines)), content, columns)


def _json_lines(content: Mapping[str, Any]) -> str:
    """Return JSON with one line for each entry and each item of a list."""
    lines = []
    for key, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def statuses(records: Sequence[Record]) -> Counter[str]:
    """Return the number of runs by status."""
    return Counter(record.status for record in records)


def command_of(record: Record) -> str:
    """Return the command line that trains a run of a sweep alone."""
    overrides = [f"{key}={value}" for key, value in record.settings.items()]
    return command(Path(record.folder), overrides)


def _joined(problem: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in problem.items())


def _lines(
    folder: Path, records: Sequence[Record], metric: str, ranked: Sequence[Configuration],
    compared: Sequence[Difference], minimum_table: Sequence[ReachedMinimum],
    winners: Mapping[str, str], left_out: Sequence[int],
) -> list[str]:  # fmt: skip
    counts = ", ".join(f"{count:,} {name}" for name, count in statuses(records).most_common())
    lines = ["", f"{len(records):,} run{'' if len(records) == 1 else 's'}: {counts}", ""]
    lines += _table(ranked, metric)
    if len(ranked) > MOST_LINES:
        lines.append(f"... {len(ranked) - MOST_LINES:,} more in summary.json")
    if compared:
        lines += ["", f"{metric} {METHOD.format(repeat=ranked[0].repeat)}:"]
        lines += [f"  {sentence(difference)}" for difference in compared]
    lines += _minimum_lines(minimum_table)
    lines += ["", *_notes(records, metric, ranked)]
    if left_out:
        lines.append(
            f"note          excluded: {_numbers(left_out)} (their data or settings have changed)"
        )
    for problem, command_line in winners.items():
        lines.append(f"best          {command_line}{f'  (of {problem})' if problem else ''}")
    lines.append(f"summary       {shown_path(folder / SUMMARY_TABLE)} and summary.json")
    lines.append(f"TensorBoard   tensorboard --logdir {shlex.quote(str(shown_path(folder)))}")
    return lines


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"run{'' if len(numbers) == 1 else 's'} {shown}"


def _notes(records: Sequence[Record], metric: str, ranked: Sequence[Configuration]) -> list[str]:
    """Return notes on the limits of the comparison, if any."""
    scales = dict.fromkeys(key for configuration in ranked for key in configuration.problem)
    lines = []
    if scales:
        keys = " and ".join(scales)
        lines.append(
            f"note          {metric} has a different scale for each {keys}, so runs are compared "
            f"within each {keys}"
        )
        if set(scales) <= {"loss"}:
            lines[-1] += "; a metric such as sweep.metric=metrics.validation.r2 compares all"
    results = [record.result for record in records if record.result is not None]
    if results and not any(configuration.values for configuration in ranked):
        metrics = next((flatten(r["metrics"]) for r in results if r.get("metrics")), {})
        is_unknown = (
            metric.startswith("metrics.") and metric.removeprefix("metrics.") not in metrics
        )
        known = in_words(f"metrics.{name}" for name in metrics)
        lines.append(f"note          no run has a value of {metric}"
                     + (f"; use one of {known}" if is_unknown and metrics else ""))  # fmt: skip
    return lines


def _minimum_lines(minimum_table: Sequence[ReachedMinimum]) -> list[str]:
    """Return a table of minima for each function."""
    lines = []
    for model in dict.fromkeys(minimum.model for minimum in minimum_table):
        group = [minimum for minimum in minimum_table if minimum.model == model]
        missed = group[0].starts - sum(minimum.runs for minimum in group)
        rest = (
            f"; {share_text(missed, group[0].starts)} of the starts reached none" if missed else ""
        )
        noun = "minimum" if len(group) == 1 else "minima"
        lines += ["", f"{model}: {len(group)} {noun} found{rest}"]
        rows = [["share of starts (95 % interval)", "value", "point"]]
        for minimum in group[:MOST_LINES]:
            point = ", ".join(f"{x:.4g}" for x in minimum.point[:6])
            share = share_text(minimum.runs, minimum.starts)
            rows.append([share, f"{minimum.objective:.4g}", f"({point})"])
        lines += _aligned(rows)
        if len(group) > MOST_LINES:
            lines.append(f"... {len(group) - MOST_LINES:,} more in summary.json")
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def sentence(difference: Difference) -> str:
    """Return a difference between two levels as a sentence: what was compared, and the verdict."""
    scope = f"{_joined(difference.problem)}: " if difference.problem else ""
    names = [_named(difference, side) for side in (difference.loser, difference.winner)]
    facts = [] if math.isnan(difference.mean) else [f"{difference.mean:+.4g}"]
    worse, equal, _ = difference.counts
    if not difference.is_one_run:
        ties = f" and equal on {equal:,}" if equal else ""
        facts.append(
            f"worse on {worse:,}{ties} of {counted(difference.seeds, difference.winner.repeat)}"
        )
    if any(difference.lost):
        better, other = difference.lost
        facts.append(f"{counted(other, 'run')} lost against {better:,}")
    if difference.is_tested:
        facts.append("p < 0.001" if difference.p < 0.001 else f"p = {difference.p:.2g}")
    return f"{scope}{' against '.join(names)}: {', '.join(facts)}: {difference.words}"


def _named(difference: Difference, side: Configuration) -> str:
    """Return a level, with the other settings of its best configuration."""
    settings = {k: v for k, v in side.settings.items() if k not in difference.problem}
    level = f"{difference.key}={settings.pop(difference.key)}"
    return f"{level} ({_joined(settings)})" if settings else level


def _table(ranked: Sequence[Configuration], metric: str) -> list[str]:
    shown = ranked[:MOST_LINES]
    keys = list(dict.fromkeys(key for configuration in shown for key in configuration.settings))
    is_target_reached = any(Status.TARGET_REACHED in c.statuses for c in ranked)
    costs = list(COSTS_TO_TARGET) if is_target_reached else []
    has_seeds = any(len(configuration.records) > 1 for configuration in ranked)
    head = [*keys, *(["runs"] if has_seeds else []), metric]
    head += ["deviation", "95 % interval"] if has_seeds else []
    head += [f"{name} to target" for name in costs]
    rows = [[*head, "status"]]
    for configuration in shown:
        line = [configuration.settings.get(key, "") for key in keys]
        line += [str(len(configuration.records))] if has_seeds else []
        line.append("" if math.isnan(configuration.mean) else f"{configuration.mean:.6g}")
        if has_seeds:
            deviation, interval = configuration.deviation, configuration.interval
            line.append("" if deviation is None else f"{deviation:.3g}")
            line.append(
                configuration.no_interval if interval is None
                else f"{interval[0]:.5g} to {interval[1]:.5g}"
            )  # fmt: skip
        line += [_cost(configuration, name) for name in costs]
        words = [f"{count} {status}" if len(configuration.records) > 1 else status
                 for status, count in configuration.statuses.most_common()]  # fmt: skip
        rows.append([*line, ", ".join(words)])
    return _aligned(rows)


def _cost(configuration: Configuration, name: str) -> str:
    """Return the mean cost of the runs that reached the target."""
    results = results_of([configuration])
    reached = [result for result in results if result and result["status"] == Status.TARGET_REACHED]
    values = [cost for result in reached if (cost := value_of(result, name)) is not None]
    return f"{sum(values) / len(values):,.4g}" if values else ""
