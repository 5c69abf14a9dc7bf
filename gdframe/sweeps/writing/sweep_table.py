"""What a sweep says at its end: the table of its configurations, and how to run the best again."""

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
from gdframe.errors import in_words
from gdframe.runs.result import finite
from gdframe.runs.result_table import shown_path
from gdframe.runs.sweep_folder import SUMMARY_TABLE, SweepFolder
from gdframe.sweeps.comparing.comparison import (
    Configuration,
    Difference,
    Record,
    best,
    configurations,
    differences,
    results_of,
    varied,
)
from gdframe.sweeps.comparing.minima import Minimum, minima
from gdframe.sweeps.comparing.scales import scale_keys
from gdframe.sweeps.comparing.sweep_metric import default_metric, goes_up, value_of
from gdframe.sweeps.writing.summary import Row, csv_text, flatten, row

MOST_LINES = 20
"""Most configurations in the table on the console."""

FAIRLY = "on shared seeds, each level at what its other seeds call best, for all pairs at once"
"""How levels are compared."""

EFFORT = ("steps", "samples", "gradient_evaluations", "seconds.train")
"""What a run took, on each fair axis."""


@dataclass(frozen=True)
class Summary:
    """What the runs of a sweep add up to.

    Args:
        metric: what they are compared by.
        rows: a row for each run.
        configurations: best first.
        differences: between levels of each varied key.
        text: for the console.
        content: of ``summary.json``.
        columns: of ``summary.csv`` that come first.
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
            OSError: they cannot be written.
        """
        table = csv_text(self.rows, self.columns)
        SweepFolder(folder).write_summary(table, _in_lines(finite(self.content)))


def compare(
    folder: Path, records: Sequence[Record], metric: str | None, left_out: Iterable[int] = ()
) -> Summary:
    """Say what the runs of a sweep add up to.

    Args:
        folder: the sweep's.
        records: its runs.
        metric: what they are compared by; by default validation loss or objective.
        left_out: numbers of runs that are in the folder and no longer part of the sweep.
    """
    name = metric or _default(records)
    keys = varied(records)
    scales = scale_keys(records, keys, name)
    found = configurations(records, name, scales)
    ends = minima(records)
    compared = differences(found, name)
    winners = {_named(one.problem): command_of(winner(one, name)) for one in best(found)}
    rows = [row(record.result, record.settings, record.folder) for record in records]
    content = {
        "metric": name,
        "statuses": dict(statuses(records)),
        "varied": keys,
        "configurations": [configuration.to_json() for configuration in found],
        "differences": [difference.to_json() for difference in compared],
        "minima": [vars(minimum) for minimum in ends],
        "winner": next(iter(winners.values())) if len(winners) == 1 else None,
        "winners": winners,
        "left_out": sorted(left_out),
        "runs": rows,
    }
    lines = _lines(folder, records, name, found, compared, ends, winners, sorted(left_out))
    columns = [key for record in records for key in record.settings]
    return Summary(name, rows, found, compared, "\n".join(lines), content, columns)


def _in_lines(content: Mapping[str, Any]) -> str:
    """Return JSON with a line for each entry, and for each item of a list."""
    lines = []
    for key, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def statuses(records: Sequence[Record]) -> Counter[str]:
    """Return how many runs ended how."""
    return Counter(str((record.result or {}).get("status", "not ended")) for record in records)


def _default(records: Sequence[Record]) -> str:
    ended = [record.result for record in records if record.result is not None]
    held = [result for result in ended if result.get("validation_loss") is not None]
    return default_metric(held[0] if held else {})


def command_of(record: Record) -> str:
    """Return the command line that trains a run of a sweep by itself."""
    overrides = [f"{key}={value}" for key, value in record.settings.items()]
    return command(Path(record.folder), overrides)


def winner(configuration: Configuration, metric: str) -> Record:
    """Return the run that stands for a configuration: its first seed; of starts, the best."""
    records = configuration.records
    if not any((record.result or {}).get("point") for record in records):
        return records[0]
    sign = -1.0 if goes_up(metric, results_of([configuration])) else 1.0
    values = [value_of(record.result or {}, metric) for record in records]
    places = [at for at, value in enumerate(values) if value is not None]
    return records[min(places, key=lambda at: sign * (values[at] or 0.0))]


def _named(problem: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in problem.items())


def _lines(
    folder: Path, records: Sequence[Record], metric: str, found: Sequence[Configuration],
    compared: Sequence[Difference], ends: Sequence[Minimum], winners: Mapping[str, str],
    left_out: Sequence[int],
) -> list[str]:  # fmt: skip
    counts = ", ".join(f"{count:,} {name}" for name, count in statuses(records).most_common())
    lines = ["", f"{len(records):,} run{'' if len(records) == 1 else 's'}: {counts}", ""]
    lines += _table(found, metric)
    if len(found) > MOST_LINES:
        lines.append(f"... {len(found) - MOST_LINES:,} more in summary.json")
    if compared:
        lines += ["", f"{metric} {FAIRLY}:"]
        lines += [f"  {sentence(difference)}" for difference in compared]
    lines += _ends(ends)
    lines += ["", *_hints(records, metric, found)]
    if left_out:
        lines.append(
            f"note          left out: {_numbers(left_out)}; the data have changed since, or it has "
            "gone on with other settings"
        )
    for problem, best_one in winners.items():
        lines.append(f"best          {best_one}{f'  (of {problem})' if problem else ''}")
    where = shlex.quote(str(shown_path(folder)))
    lines.append(f"summary       {shown_path(folder / SUMMARY_TABLE)}, summary.json beside it")
    lines.append(f"TensorBoard   tensorboard --logdir {where}")
    return lines


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"run{'' if len(numbers) == 1 else 's'} {shown}"


def _hints(records: Sequence[Record], metric: str, found: Sequence[Configuration]) -> list[str]:
    """Say what the comparison cannot tell, if anything."""
    apart = dict.fromkeys(key for configuration in found for key in configuration.problem)
    lines = []
    if apart:
        keys = " and ".join(apart)
        lines.append(f"note          {metric} has another scale for each {keys}: compared within")
        if set(apart) <= {"loss"}:
            lines[-1] += "; sweep.metric=metrics.validation.r2 and the like compare across"
    ended = [record.result for record in records if record.result is not None]
    if ended and not any(configuration.values for configuration in found):
        named = next((flatten(r["metrics"]) for r in ended if r.get("metrics")), {})
        unknown = metric.startswith("metrics.") and metric.removeprefix("metrics.") not in named
        there = in_words(f"metrics.{name}" for name in named)
        lines.append(f"note          no run has a value of {metric}"
                     + (f"; they have {there}" if unknown and named else ""))  # fmt: skip
    return lines


def _ends(ends: Sequence[Minimum]) -> list[str]:
    """Return the tables of the minima that starts led to."""
    lines = []
    for model in dict.fromkeys(end.model for end in ends):
        own = [end for end in ends if end.model == model]
        missed = 1 - sum(end.share for end in own)
        rest = f"; {missed:.1%} of the starts ended at none" if missed > 1e-9 else ""
        lines += ["", f"{model}: {len(own)} {'minimum' if len(own) == 1 else 'minima'} found{rest}"]
        rows = [["share", "value", "point"]]
        for end in own[:MOST_LINES]:
            point = ", ".join(f"{x:.4g}" for x in end.point[:6])
            rows.append([f"{end.share:.1%}", f"{end.objective:.4g}", f"({point})"])
        lines += _aligned(rows)
        if len(own) > MOST_LINES:
            lines.append(f"... {len(own) - MOST_LINES:,} more in summary.json")
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, columns two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def sentence(difference: Difference) -> str:
    """Say what one level makes against another, and whether that could be chance."""
    interval = ""
    within = f"{_named(difference.problem)}: " if difference.problem else ""
    if difference.interval is not None:
        low, high = difference.interval
        interval = f", 95 % interval {low:.4g} to {high:.4g}"
    return (
        f"{within}{difference.key}={difference.other} against "
        f"{difference.key}={difference.better}: "
        f"{difference.mean:+.4g}{interval}: {difference.words}"
    )


def _table(found: Sequence[Configuration], metric: str) -> list[str]:
    shown = found[:MOST_LINES]
    keys = list(dict.fromkeys(key for configuration in shown for key in configuration.settings))
    reached = any("target_reached" in configuration.statuses for configuration in found)
    efforts = list(EFFORT) if reached else []
    several = any(len(configuration.records) > 1 for configuration in found)
    head = [*keys, *(["runs"] if several else []), metric]
    head += ["deviation", "95 % interval"] if several else []
    head += [f"{name} to target" for name in efforts]
    rows = [[*head, "status"]]
    for configuration in shown:
        line = [configuration.settings.get(key, "") for key in keys]
        line += [str(len(configuration.records))] if several else []
        line.append("" if math.isnan(configuration.mean) else f"{configuration.mean:.6g}")
        if several:
            deviation, interval = configuration.deviation, configuration.interval
            line.append("" if deviation is None else f"{deviation:.3g}")
            few = f"too few seeds ({len(configuration.values)})" if configuration.values else ""
            line.append(few if interval is None else f"{interval[0]:.5g} to {interval[1]:.5g}")
        line += [_effort(configuration, name) for name in efforts]
        words = [f"{count} {status}" if len(configuration.records) > 1 else status
                 for status, count in configuration.statuses.most_common()]  # fmt: skip
        rows.append([*line, ", ".join(words)])
    return _aligned(rows)


def _effort(configuration: Configuration, name: str) -> str:
    """Return the mean of what the runs took that reached the target."""
    values = []
    for record in configuration.records:
        value: Any = record.result or {}
        if value.get("status") != "target_reached":
            continue
        for part in name.split("."):
            value = value.get(part, math.nan)
        values.append(float(value))
    return f"{sum(values) / len(values):,.4g}" if values else ""
