"""``python -m gdframe watch``: the progress of a run or a sweep in the terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gdframe.cli.sparkline import BLOCKS, PLAIN_BLOCKS, spark
from gdframe.config.command import resume_command
from gdframe.config.values import plain, rate_text, read_config
from gdframe.errors import UserError, bad_value, printable
from gdframe.runs.files import require_folder
from gdframe.runs.recorded_history import Array, RecordedHistory
from gdframe.runs.run_folder import CONFIG, RunFolder
from gdframe.runs.sweep_folder import JOBS, SweepFolder
from gdframe.stopping import Status
from gdframe.sweeps.comparing.comparison import (
    Configuration,
    Record,
    best,
    configurations,
    varied,
    winner,
)
from gdframe.sweeps.comparing.records import keys_of, metric_of, read_records, settings
from gdframe.sweeps.comparing.scales import scale_keys
from gdframe.sweeps.comparing.sweep_metric import goes_up, value_of

WIDTH, NARROW = 48, 14
"""Characters in the sparkline of a single run, and of a run of a sweep."""

WIDE = 110
"""Fewest columns of a terminal to show gradient norms of a sweep's runs."""

MOST_ROWS = 15
"""Most rows of a sweep's table."""

LONGEST_SECONDS = 86_400
"""Most seconds between two updates."""

NOT_ENDED = "not ended"
"""Status of a run that is not training and has no result."""

COLORS = {Status.CONVERGED: "green", Status.TARGET_REACHED: "green", Status.DIVERGED: "red",
          Status.FAILED: "red", "training": "cyan"}  # fmt: skip


def watch(folder: str | Path, *, every: float = 1.0, console: Console | None = None) -> None:
    """Show a run or a sweep until it ends; show it once if the output is not a terminal.

    Args:
        folder: of a run or a sweep.
        every: seconds between two updates, above 0 and at most a day.
        console: the output; by default standard output.

    Raises:
        UserError: the folder has neither a run nor a sweep.
    """
    if not 0 < every <= LONGEST_SECONDS:
        expected = f"a number of seconds above 0 and at most {LONGEST_SECONDS:,}"
        raise bad_value(f"--every {every:g}", expected)
    folder = Path(folder)
    console = console or Console()
    view = view_of(folder, blocks=_blocks(console), width=console.width)
    if not console.is_terminal:
        console.print(view.show())
        return
    with Live(view.show(), console=console, auto_refresh=False) as live:
        while not view.is_over:
            time.sleep(every)
            live.update(view.show(), refresh=True)


def view_of(folder: Path, *, blocks: str = BLOCKS, width: int = 120) -> RunView | SweepView:
    """Return the view of a run or a sweep.

    Raises:
        UserError: the folder has neither a run nor a sweep.
    """
    require_folder(folder, "a run folder or a sweep folder")
    if SweepFolder(folder).has_jobs():
        return SweepView(folder, blocks, is_wide=width >= WIDE)
    if not RunFolder(folder).is_run():
        raise UserError(
            f"{folder}: is not a run folder or sweep folder (it has neither {CONFIG} nor {JOBS}); "
            "give one such as outputs/DATE/TIME or outputs/sweeps/DATE/TIME"
        )
    return RunView(folder, blocks)


def _blocks(console: Console) -> str:
    try:
        BLOCKS.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return PLAIN_BLOCKS
    return BLOCKS


@dataclass
class RunView:
    """The view of one run.

    Args:
        folder: the run folder.
        blocks: characters of a sparkline, from low to high.

    Attributes:
        is_over: whether the run was not training at the last update.
    """

    folder: Path
    blocks: str = BLOCKS
    is_over: bool = False

    def __post_init__(self) -> None:
        config = plain(read_config(self.folder))
        self._epochs, self._lr = config["epochs"], config["lr"]

    def show(self) -> RenderableType:
        """Return the table of the run as it is now."""
        run = RunFolder(self.folder)
        is_training = run.is_training()
        result, damage = _result(run, is_training=is_training)
        self.is_over = not is_training
        history = run.read_history(result)
        status = _status(result, damage, is_training=is_training)
        table = Table.grid(padding=(0, 2))
        table.add_row("run", Text(printable(f"{self.folder}, lr {rate_text(self._lr)}")))
        reason = f": {damage}" if damage else ""
        if result is not None:
            reason = f": {result['reason']}"
        if status == NOT_ENDED:
            reason = f": finish it by {resume_command(self.folder)}"
        text = Text(printable(f"{status}{reason}"), style=COLORS.get(status, ""))
        table.add_row("status", text)
        epochs = history.epochs
        if "epoch" in epochs:
            table.add_row("epoch", f"{int(epochs['epoch'][-1]):,} of {self._epochs:,}")
        for label, values in _curves(history).items():
            line = Text(spark(values, WIDTH, self.blocks), style="blue")
            line.append(f"  {values[-1]:.6g}", style="default")
            table.add_row(label, line)
        if "epoch" not in epochs:
            table.add_row("", "there are no measurements yet, or logging.tensorboard=false")
        for message in history.damages:
            table.add_row("damaged", Text(printable(message)))
        return table


@dataclass
class SweepView:
    """The view of a sweep: number of runs by status, the best configuration, and runs in training.

    Args:
        folder: the sweep folder.
        blocks: characters of a sparkline, from low to high.
        is_wide: whether to show gradient norms too.

    Attributes:
        is_over: whether the sweep was not training at the last update.
    """

    folder: Path
    blocks: str = BLOCKS
    is_wide: bool = True
    is_over: bool = False
    _results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _damages: dict[str, str] = field(default_factory=dict)
    _epochs: dict[str, dict[str, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read_jobs()

    def _read_jobs(self) -> None:
        """Read the list of runs, to which a sweeper or another launch may add."""
        folder = SweepFolder(self.folder)
        jobs = [
            (str(folder.subfolder(job["folder"]).path.relative_to(folder.path)),
             settings(job["overrides"]))
            for job in folder.read_jobs()["jobs"]
        ]  # fmt: skip
        self._jobs = dict(jobs)
        keys = keys_of([overrides for _, overrides in jobs])
        self._varied = [key for key in keys if len({words.get(key) for _, words in jobs}) > 1]

    def show(self) -> RenderableType:
        """Return the summary and the table of runs as they are now."""
        self.is_over = not SweepFolder(self.folder).is_training()
        self._read_jobs()
        for name in self._jobs:
            if not self._is_final(name):
                run = RunFolder(self.folder / name)
                result, self._damages[name] = _result(run, is_training=not self.is_over)
                self._results.pop(name, None)
                if result is not None:
                    self._results[name] = result
        results = self._results
        counts = Counter(printable(result["status"]) for result in results.values())
        counts += Counter("damaged" for damage in self._damages.values() if damage)
        head = Table.grid(padding=(0, 2))
        state = "training" if not self.is_over else "not training"
        head.add_row("sweep", Text(printable(f"{self.folder}: {state}")))
        statuses = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
        ended = f"{len(results):,} of {len(self._jobs):,} ended"
        head.add_row("runs", Text(f"{ended}{f': {statuses}' if statuses else ''}"))
        metric = metric_of(self.folder, results.values())
        sign = -1.0 if goes_up(metric, results.values()) else 1.0
        values = {name: value_of(result, metric) for name, result in results.items()}
        ranked = sorted(values, key=lambda name: _last_if_none(values[name], sign))
        records = self._records()
        scales = scale_keys(records, varied(records), metric)
        for configuration in best(configurations(records, metric, scales)):
            head.add_row("best", Text(printable(self._describe(configuration, metric))))
        started = [n for n in self._jobs if n not in results and (self.folder / n).is_dir()]
        shown = started + ranked
        parts: list[RenderableType] = [head, self._runs(shown[:MOST_ROWS])]
        if len(shown) > MOST_ROWS:
            parts.append(f"... {len(shown) - MOST_ROWS:,} more")
        return Group(*parts)

    def _is_final(self, name: str) -> bool:
        """Return whether no launch trains a run again, so that its files need no second look."""
        status = self._results.get(name, {}).get("status")
        return status not in (None, Status.INTERRUPTED, Status.FAILED)

    def _records(self) -> list[Record]:
        """Return the runs as the summary of the sweep compares them."""
        if self.is_over:
            with suppress(UserError):  # a list of runs that is damaged shows what it can
                return read_records(self.folder)
        return [
            Record(overrides, self._results.get(name), str(self.folder / name))
            for name, overrides in self._jobs.items()
        ]

    def _describe(self, configuration: Configuration, metric: str) -> str:
        """Return the mean of a configuration, its settings, and the run that represents it."""
        run = Path(winner(configuration, metric).folder).name
        seeds = len(configuration.values)
        mean = f", mean of {seeds:,} {configuration.repeat}s" if seeds > 1 else ""
        words = " ".join(f"{key}={value}" for key, value in configuration.settings.items())
        name = f"run {run}: {words}" if words else f"run {run}"
        return f"{metric} {configuration.mean:.6g}{mean} ({name})"

    def _history(self, name: str) -> dict[str, Array]:
        """Return the columns of a run by epoch."""
        if name in self._epochs:
            return self._epochs[name]
        epochs = RunFolder(self.folder / name).read_history(self._results.get(name)).epochs
        if self._is_final(name):
            self._epochs[name] = epochs
        return epochs

    def _settings(self, name: str) -> str:
        overrides = self._jobs[name]
        words = " ".join(f"{key}={overrides[key]}" for key in self._varied if key in overrides)
        return printable(words)

    def _runs(self, names: Sequence[str]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        measures = ["objective", *(["gradient_norm"] if self.is_wide else [])]
        heads = [head for name in measures for head in (name.replace("_", " "), "")]
        for column in ("run", "settings", "status", "epoch", *heads):
            table.add_column(column, no_wrap=column != "settings")
        for name in names:
            result = self._results.get(name)
            with suppress(OSError):
                epochs = self._history(name)
                damage = self._damages.get(name, "")
                status = _status(result, damage, is_training=not self.is_over)
                cells = [Text(printable(name)), Text(self._settings(name)),
                         Text(status, style=COLORS.get(status, ""))]  # fmt: skip
                cells.append(Text(f"{int(epochs['epoch'][-1]):,}" if "epoch" in epochs else ""))
                for column in measures:
                    values = epochs.get(column, np.zeros(0))
                    cells.append(Text(f"{values[-1]:.6g}" if len(values) else ""))
                    cells.append(Text(spark(values, NARROW, self.blocks), style="blue"))
                table.add_row(*cells)
        return table


def _result(run: RunFolder, *, is_training: bool) -> tuple[dict[str, Any] | None, str]:
    """Return the result of a run, and a message if it is damaged; not that of an earlier launch."""
    result, damage = run.find_result()
    is_earlier = is_training and (result or {}).get("status") in (None, Status.INTERRUPTED)
    return (None, "") if is_earlier else (result, printable(damage))


def _last_if_none(value: float | None, sign: float) -> tuple[bool, float]:
    return (True, 0.0) if value is None else (False, sign * value)


def _status(result: Mapping[str, Any] | None, damage: str, *, is_training: bool) -> str:
    if result is not None:
        return printable(result["status"])
    if damage:
        return "damaged"
    return "training" if is_training else NOT_ENDED


def _curves(history: RecordedHistory) -> dict[str, Array]:
    """Return the curves of a run by label: by step if there is more than one step, and by epoch."""
    curves = {}
    if len(history.steps.get("loss", ())) > 1:
        curves["loss by step"] = history.steps["loss"]
        if "gradient_norm" in history.steps:
            curves["norm by step"] = history.steps["gradient_norm"]
    names = {"objective": "objective", "validation_loss": "validation loss",
             "gradient_norm": "gradient norm"}  # fmt: skip
    curves |= {label: history.epochs[n] for n, label in names.items() if n in history.epochs}
    return {label: values for label, values in curves.items() if len(values)}
