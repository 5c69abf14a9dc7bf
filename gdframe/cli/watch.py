"""``python -m gdframe watch``: a run or a sweep in the terminal while it trains, untouched."""

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

from gdframe.config.values import plain, read_config
from gdframe.errors import UserError
from gdframe.runs.files import require_folder
from gdframe.runs.recorded_history import Array, RecordedHistory
from gdframe.runs.run_folder import CONFIG, RunFolder
from gdframe.runs.sweep_folder import JOBS, SweepFolder
from gdframe.sweeps.comparing.records import settings
from gdframe.sweeps.comparing.sweep_metric import goes_up, value_of

BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
"""Of a sparkline; the latter where the terminal's encoding has no such characters."""

WIDTH, NARROW = 48, 14
"""Of a sparkline, in characters: of a run, and of each of many."""

WIDE = 110
"""Columns of a terminal that has room for the gradient norms of many runs."""

MOST_ROWS = 15
"""Most runs of a sweep that are shown one by one."""

COLORS = {"converged": "green", "target_reached": "green", "diverged": "red", "failed": "red",
          "training": "cyan"}  # fmt: skip


def watch(folder: str | Path, *, every: float = 1.0, console: Console | None = None) -> None:
    """Show a run or a sweep until it ends; once, where the output is no terminal.

    Args:
        folder: of a run or a sweep.
        every: seconds between two looks, above 0.
        console: where to show it.

    Raises:
        UserError: nothing that gdframe trains is there.
    """
    if not every > 0:
        raise UserError(f"--every {every:g}: expected seconds above 0")
    folder = Path(folder)
    console = console or Console()
    view = view_of(folder, blocks=_blocks(console), width=console.width)
    if not console.is_terminal:
        console.print(view.show())
        return
    with Live(view.show(), console=console, auto_refresh=False) as live:
        while not view.over:
            time.sleep(every)
            live.update(view.show(), refresh=True)


def view_of(folder: Path, *, blocks: str = BLOCKS, width: int = 120) -> RunView | SweepView:
    """Return what shows a folder.

    Raises:
        UserError: nothing that gdframe trains is there.
    """
    require_folder(folder, "the folder of a run or of a sweep")
    if SweepFolder(folder).has_jobs():
        return SweepView(folder, blocks, wide=width >= WIDE)
    if not RunFolder(folder).is_run():
        raise UserError(
            f"{folder} is not the folder of a run or a sweep: it holds neither {CONFIG} nor "
            f"{JOBS}; expected outputs/DATE/TIME or outputs/sweeps/DATE/TIME"
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
    """Shows one run.

    Args:
        folder: the run's.
        blocks: characters of a sparkline, low to high.

    Attributes:
        over: whether the last look found that it trains no more.
    """

    folder: Path
    blocks: str = BLOCKS
    over: bool = False

    def __post_init__(self) -> None:
        config = plain(read_config(self.folder))
        self._epochs, self._lr = config["epochs"], config["lr"]

    def show(self) -> RenderableType:
        """Look, and return what is to be shown."""
        run = RunFolder(self.folder)
        training = run.is_training()
        result = run.read_result()
        self.over = not training
        stale = training and (result or {}).get("status") in (None, "interrupted")
        measured = run.read_history(None if stale else result)
        status = _status(None if stale else result, training=training)
        table = Table.grid(padding=(0, 2))
        table.add_row("run", Text(f"{self.folder}, lr {self._lr:g}"))
        reason = "" if stale or result is None else f": {result.get('reason')}"
        if status == CUT:
            reason = f": finish it by python -m gdframe resume {self.folder}"
        table.add_row("status", Text(f"{status}{reason}", style=COLORS.get(status, "")))
        epochs = measured.epochs
        if "epoch" in epochs:
            table.add_row("epoch", f"{int(epochs['epoch'][-1]):,} of {self._epochs:,}")
        for label, values in _curves(measured).items():
            line = Text(spark(values, WIDTH, self.blocks), style="blue")
            line.append(f"  {values[-1]:.6g}", style="default")
            table.add_row(label, line)
        if "epoch" not in epochs:
            table.add_row("", "nothing has been measured yet, or logging.tensorboard is off")
        return table


@dataclass
class SweepView:
    """Shows a sweep: how many runs have ended how, the best, and those that train.

    Args:
        folder: the sweep's.
        blocks: characters of a sparkline, low to high.
        wide: whether gradient norms are shown too.

    Attributes:
        over: whether the last look found that it trains no more.
    """

    folder: Path
    blocks: str = BLOCKS
    wide: bool = True
    over: bool = False
    _ended: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folder = SweepFolder(self.folder)
        try:
            content = folder.read_jobs()
            jobs = [(str(job["folder"]), settings(job["overrides"])) for job in content["jobs"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise folder.unreadable(error) from error
        self._jobs = dict(jobs)
        keys = dict.fromkeys(key for _, chosen in jobs for key in chosen)
        self._varied = [key for key in keys if len({chosen.get(key) for _, chosen in jobs}) > 1]
        first = RunFolder(self.folder / jobs[0][0]).read_overrides() if jobs else []
        named = [word for word in first if word.startswith("sweep.metric=")]
        self._metric = named[-1].partition("=")[2] if named else None

    def show(self) -> RenderableType:
        """Look, and return what is to be shown."""
        self.over = not SweepFolder(self.folder).is_training()
        going = []
        for name in self._jobs:
            run = self.folder / name
            if name not in self._ended:
                result = RunFolder(run).read_result()
                if result is not None:
                    self._ended[name] = result
                elif run.is_dir():
                    going.append(name)
        counts = Counter(str(result.get("status")) for result in self._ended.values())
        head = Table.grid(padding=(0, 2))
        state = "training" if not self.over else "not training"
        head.add_row("sweep", Text(f"{self.folder}: {state}"))
        told = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
        ended = f"{len(self._ended):,} of {len(self._jobs):,} ended"
        head.add_row("runs", Text(f"{ended}{f': {told}' if told else ''}"))
        if best := self._best():
            head.add_row("best", Text(best))
        shown = going + self._ranked()
        parts: list[RenderableType] = [head, self._runs(shown[:MOST_ROWS])]
        if len(shown) > MOST_ROWS:
            parts.append(f"... {len(shown) - MOST_ROWS:,} more")
        return Group(*parts)

    def _ranked(self) -> list[str]:
        """Return the runs that have ended, best first."""
        sign = -1.0 if goes_up(self._metric, self._ended.values()) else 1.0
        values = {name: value_of(result, self._metric) for name, result in self._ended.items()}
        return sorted(values, key=lambda name: _last_if_none(values[name], sign))

    def _best(self) -> str | None:
        name = next(iter(self._ranked()), None)
        value = None if name is None else value_of(self._ended[name], self._metric)
        return None if value is None else f"{value:.6g} (run {name}: {self._told(str(name))})"

    def _told(self, name: str) -> str:
        chosen = self._jobs[name]
        return " ".join(f"{key}={chosen[key]}" for key in self._varied if key in chosen)

    def _runs(self, names: Sequence[str]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        measures = ["objective", *(["gradient_norm"] if self.wide else [])]
        heads = [head for name in measures for head in (name.replace("_", " "), "")]
        for column in ("run", "settings", "status", "epoch", *heads):
            table.add_column(column, no_wrap=column != "settings")
        for name in names:
            result = self._ended.get(name)
            with suppress(OSError):
                measured = RunFolder(self.folder / name).read_history(result)
                status = _status(result, training=not self.over)
                cells = [Text(name), Text(self._told(name)),
                         Text(status, style=COLORS.get(status, ""))]  # fmt: skip
                epochs = measured.epochs
                cells.append(Text(f"{int(epochs['epoch'][-1]):,}" if "epoch" in epochs else ""))
                for column in measures:
                    values = epochs.get(column, np.zeros(0))
                    cells.append(Text(f"{values[-1]:.6g}" if len(values) else ""))
                    cells.append(Text(spark(values, NARROW, self.blocks), style="blue"))
                table.add_row(*cells)
        return table


def _last_if_none(value: float | None, sign: float) -> tuple[bool, float]:
    return (True, 0.0) if value is None else (False, sign * value)


def _status(result: Mapping[str, Any] | None, *, training: bool) -> str:
    if result is not None:
        return str(result.get("status", "unknown"))
    return "training" if training else CUT


CUT = "not ended"
"""Status of a run that nobody trains and that has no result."""


def _curves(measured: RecordedHistory) -> dict[str, Array]:
    """Return what is drawn of a run: by step where there are more steps than epochs."""
    found = {}
    if len(measured.steps.get("loss", ())) > 1:
        found["loss by step"] = measured.steps["loss"]
        if "gradient_norm" in measured.steps:
            found["norm by step"] = measured.steps["gradient_norm"]
    names = {"objective": "objective", "validation_loss": "validation loss",
             "gradient_norm": "gradient norm"}  # fmt: skip
    found |= {label: measured.epochs[n] for n, label in names.items() if n in measured.epochs}
    return {label: values for label, values in found.items() if len(values)}


def spark(values: Array, width: int, blocks: str = BLOCKS) -> str:
    """Return a curve as one line of text, by magnitude where all values are above 0.

    Args:
        values: (points,) of the curve; what is not finite is left blank.
        width: most characters.
        blocks: low to high.

    Example:
        >>> spark(np.array([8.0, 4.0, 2.0, 1.0]), 10)
        '█▆▃▁'
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) > width:  # each character shows the mean of its share
        parts = np.array_split(values, width)
        values = np.array([part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan
                           for part in parts])  # fmt: skip
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return ""
    if (finite > 0).all():
        values, finite = np.log(values), np.log(finite)
    low, high = float(finite.min()), float(finite.max())
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(
        blocks[round((value - low) * scale)] if np.isfinite(value) else " "
        for value in values.tolist()
    )
