"""The observer that writes TensorBoard events."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.errors import LARGEST
from gdframe.observers.base import Observer, Watched
from gdframe.registry import OBSERVERS
from gdframe.runs.event_file import Checkpointed, EventFile, missing_epochs
from gdframe.runs.event_tags import STEP_TAGS, tag_of
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import Status

log = logging.getLogger("gdframe")

LAYOUT = {
    "1. Is it descending?": {
        "objective": ["objective/train"],
        "loss by step": ["loss/step"],
        "gradient norm": ["gradient_norm/epoch"],
        "gap to the minimum": ["theory/gap"],
        "learning rate": ["lr"],
    },
    "2. Is it stable?": {
        "learning rate times curvature": [
            "curvature/lr_times_lambda_max", "curvature/stability_limit",
        ],
        "curvature": ["curvature/lambda_max", "curvature/lambda_min"],
        "gradient norm by step": ["gradient_norm/step"],
    },
    "3. Is it generalising?": {
        "loss, training and validation": ["loss/train", "loss/validation"],
        "metrics, training": ["metric/train_.*"],
        "metrics, validation": ["metric/validation_.*"],
    },
    "4. Which layer?": {
        "gradient norm by parameter": ["gradient_norm/(?!step$|epoch$).*"],
        "update to weight by parameter": ["update_ratio/.*"],
    },
}  # fmt: skip
"""Layout of the Custom Scalars page: the charts that answer each question."""

FLUSH_SECONDS = 2.0
"""Longest time that events stay in the process; TensorBoard reads new events every 5 seconds."""


@OBSERVERS.register("tensorboard")
class TensorBoard(Observer):
    """Writes an event file into a run folder, thinned to ``max_points`` for each tag.

    It holds steps, epochs, gradient norms, updates, histograms and hyperparameters. Events are
    written every two seconds, and before each checkpoint, so that no checkpoint is ahead of them.

    Args:
        folder: folder of the event file.
        max_points: largest number of epochs in a curve; steps are thinned as in the history.
        histograms: largest number of histograms of each parameter; 0 for none.
        hyperparameters: values for the HParams page.
        text: Markdown pages by title.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_points: int = 1000,
        histograms: int = 50,
        hyperparameters: Mapping[str, Any] | None = None,
        text: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.max_points, self.histograms = RunFolder(folder), max_points, histograms
        self.hyperparameters, self.text = dict(hyperparameters or {}), dict(text or {})
        self._file: EventFile | None = None
        self._steps: list[NDArray[np.float64]] = []
        self._before: dict[str, NDArray[Any]] | None = None
        self._loaded: dict[str, NDArray[Any]] | None = None
        self._is_amid_epoch = False
        self._points: tuple[int, int] | None = None

    def on_start(self, run: Watched) -> None:
        """Open the event file; after a resume, drop events beyond the checkpoint."""
        epoch = int(run.history.last["epoch"])
        self._epoch_stride = _stride(run, self.max_points)
        self._histogram_stride = _stride(run, self.histograms)
        checkpointed = Checkpointed(run.step, epoch, self._epoch_stride, self._histogram_stride)
        epochs = self.folder.rewind_events(checkpointed) if run.step > 0 else None
        if not run.step:  # all points are written anew
            self._points = None
        resumed = epochs is not None
        self._expect_points(epoch, epochs or set())
        if not resumed:  # a process that died may have written the beginning
            self.folder.clear_events()
        self._file = self.folder.open_events()
        if not resumed:
            self._file.layout(layout(run.history.last))
            for title, page in self.text.items():
                self._file.text(title, page)
            self._write_epoch(run)
            self._write_histograms(run)
        self._is_amid_epoch = run.step != run.history.last["step"]
        if self._is_amid_epoch:
            self._before = self._loaded
        else:
            self._remember(run, epoch)
        self.flush()

    def on_block(self, run: Watched, steps: NDArray[np.float64]) -> None:
        """Collect the thinned steps, and write them at intervals, because that costs less."""
        self._is_amid_epoch = True
        if len(steps):
            self._steps.append(steps)
        self._flush_if_due()

    def on_epoch(self, run: Watched) -> None:
        """Write the epoch's evaluation, update and histograms if they are due."""
        self._is_amid_epoch = False
        assert self._file is not None
        epoch = int(run.history.last["epoch"])
        if epoch % self._epoch_stride == 0:
            self._write_epoch(run)
            self._write_updates(run, epoch)
        self._remember(run, epoch)
        if epoch % self._histogram_stride == 0:
            self._write_histograms(run)
        self._flush_if_due()

    def on_end(self, run: Watched, result: Result) -> None:
        """Write the last epoch, the hyperparameters and the status."""
        assert self._file is not None
        epoch = int(run.history.last["epoch"])
        if epoch % self._epoch_stride:
            self._write_epoch(run)
        if epoch % self._histogram_stride:
            self._write_histograms(run)
        self._file.text("verdict", f"**{result.status}**: {result.reason}", epoch)
        self._file.hyperparameters({**self.hyperparameters, **outcome(result.to_json())})

    def flush(self) -> None:
        """Pass all events to the operating system."""
        if self._file is not None:
            self._write_steps(self._file)
            self._file.flush()
            self._flushed = time.monotonic()

    def state(self) -> dict[str, Tensor]:
        """Return which points the curves have, and, amid an epoch, the parameters before it."""
        before = self._before if self._is_amid_epoch and self._before else {}
        state = {f"before.{name}": torch.from_numpy(p) for name, p in before.items()}
        if self._points is not None:
            state[self._points_key] = torch.tensor(self._points)
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the points of the curves, and the parameters at the beginning of the epoch."""
        before = {n.removeprefix("before."): p for n, p in state.items() if n.startswith("before.")}
        self._loaded = {name: values.numpy() for name, values in before.items()} or None
        points = state.get(self._points_key)
        if points is not None and points.shape == (2,) and points.dtype == torch.int64:
            first, stride = points.tolist()
            self._points = (first, stride) if first >= 0 < stride else None

    def close(self) -> None:
        """Flush and close the event file."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                self._write_steps(file)
                if file.is_removed():
                    log.warning(
                        "warning: %s: the event file was removed while the run trained, and its "
                        "curves are lost; the last checkpoint holds the history", self.folder,
                    )  # fmt: skip
            finally:
                file.close()

    @property
    def _points_key(self) -> str:
        """Name in a checkpoint; another observer may have other points."""
        return f"points.{self.max_points}"

    def _expect_points(self, epoch: int, present: set[int]) -> None:
        """Note from which epoch on the curves have points, and warn of those that are lost.

        Args:
            epoch: of the start, or of the checkpoint.
            present: epochs of the points in the event file.
        """
        first, stride = self._points or (epoch and epoch + 1, self._epoch_stride)
        # points of this launch and of earlier ones: a resume with more epochs keeps fewer
        stride = min(math.lcm(stride, self._epoch_stride), LARGEST)
        if missing := self._points and missing_epochs(present, first, epoch, stride):
            log.warning(
                "warning: %s: the curves lack epochs %s: the event file was damaged, cut short or "
                "removed; the checkpoint holds the history", self.folder, missing,
            )  # fmt: skip
            first = epoch + 1  # this is told once
        self._points = first, stride

    def _flush_if_due(self) -> None:
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def _write_steps(self, file: EventFile) -> None:
        if self._steps:
            steps, losses, norms = np.concatenate(self._steps).T
            self._steps.clear()
            for tag, values in zip(STEP_TAGS.values(), (losses, norms), strict=True):
                file.curve(tag, values, steps.astype(np.int64))

    def _write_epoch(self, run: Watched) -> None:
        assert self._file is not None
        row = run.history.last
        # a metric that is not defined or not measured here is NaN
        values = {tag: v for k, v in row.items() if (tag := tag_of(k)) and not math.isnan(v)}
        self._file.scalars(values, int(row["epoch"]))

    def _remember(self, run: Watched, epoch: int) -> None:
        """Copy the parameters if their change up to the next evaluation will be written."""
        self._before = None
        if (epoch + run.evaluate_every) % self._epoch_stride == 0 and epoch < run.epochs:
            self._before = {n: p.cpu().numpy().copy() for n, p in run.parameters().items()}

    def _write_updates(self, run: Watched, epoch: int) -> None:
        """Write the change of each parameter since the last evaluation, relative to its norm."""
        if self._before is None:
            return
        assert self._file is not None
        ratios = {}
        for name, values in run.parameters().items():
            before = self._before[name]
            size = float(np.linalg.norm(before))
            if size > 0:  # a parameter that is zero has no ratio
                ratio = float(np.linalg.norm(values.cpu().numpy() - before)) / size
                if math.isfinite(ratio):
                    ratios[f"update_ratio/{name}"] = ratio
        self._file.scalars(ratios, epoch)

    def _write_histograms(self, run: Watched) -> None:
        assert self._file is not None
        if self.histograms:
            for name, values in run.parameters().items():
                epoch = int(run.history.last["epoch"])
                self._file.histogram(f"parameters/{name}", values.cpu().numpy(), epoch)


def _stride(run: Watched, most: int) -> int:
    """Return the epochs between two points: the start, the end, and evaluations evenly spaced."""
    every = run.evaluate_every
    return every * max(1, math.ceil(run.epochs / max(1, most - 2) / every))


def outcome(result: Mapping[str, Any]) -> dict[str, float | str]:
    """Return the end of a run for the HParams page, which shows names with capitals first.

    A run that diverged or failed has a status only: the page leaves runs without a value out of its
    axes, where a huge value would hide the others.

    Args:
        result: content of ``result.json``.

    Example:
        >>> outcome({"status": "converged", "objective": 2.0, "metrics": {"train": {"r2": 0.5}}})
        {'Objective': 2.0, 'Status': 'converged', 'Training r2': 0.5}
        >>> outcome({"status": "diverged", "objective": 1e30})
        {'Status': 'diverged'}
    """
    status = str(result["status"])
    if status in (Status.DIVERGED, Status.FAILED):
        return {"Status": status}
    metrics = result.get("metrics") or {}
    part = next((part for part in ("validation", "train") if metrics.get(part)), "")
    scores = list(metrics.get(part, {}).items())[:1]
    label = {"validation": "Validation", "train": "Training"}.get(part)
    values = {"Objective": result.get("objective")} | {f"{label} {n}": v for n, v in scores}
    finite = {n: v for n, v in values.items() if v is not None and math.isfinite(v)}
    return dict(sorted({**finite, "Status": status}.items()))


def layout(columns: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Return the layout of the Custom Scalars page, without charts that would stay empty.

    Args:
        columns: columns of the history by epoch.

    Example:
        >>> list(layout(["objective", "lr", "theory/gap"])["1. Is it descending?"])
        ['objective', 'loss by step', 'gap to the minimum', 'learning rate']
    """
    tags_by_epoch = list(filter(None, map(tag_of, columns)))
    shown = ["loss/step", "gradient_norm/step", "update_ratio/", *tags_by_epoch]
    questions = {
        question: {
            title: tags
            for title, tags in charts.items()
            if any(re.fullmatch(tag, name) for tag in tags for name in shown)
        }
        for question, charts in LAYOUT.items()
    }
    has_metrics = any(tag.startswith("metric/") for tag in tags_by_epoch)
    if not has_metrics and "loss/validation" not in tags_by_epoch:  # of a function
        del questions["3. Is it generalising?"]
    if sum(tag.startswith("gradient_norm/") for tag in tags_by_epoch) < 3:  # no layers to compare
        del questions["4. Which layer?"]
    return questions
