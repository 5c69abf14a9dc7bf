"""Writes TensorBoard events: steps, epochs, gradient norms, updates, histograms, HParams."""

from __future__ import annotations

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

from gdframe.observers.base import Observer, Watched
from gdframe.registry import OBSERVERS
from gdframe.runs.event_file import EventFile, rewind_events
from gdframe.runs.event_tags import STEP_TAGS, tag_of
from gdframe.runs.result import Result

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
"""Of the Custom Scalars page: what a person asks, in that order."""

FLUSH_SECONDS = 2.0
"""How late events may leave the process; TensorBoard looks for new ones every 5 seconds."""


@OBSERVERS.register("tensorboard")
class TensorBoard(Observer):
    """Writes one event file in a run's folder, thinned to ``max_points`` a tag.

    Events leave the process every two seconds, and before each checkpoint, which so is never ahead
    of them.

    Args:
        folder: where the event file goes.
        max_points: most points of a tag by epoch; steps are thinned as the history is.
        histograms: most histograms of each parameter; 0 for none.
        hyperparameters: what the HParams page shows of the run.
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
        self.folder, self.max_points, self.histograms = folder, max_points, histograms
        self.hyperparameters, self.text = dict(hyperparameters or {}), dict(text or {})
        self._file: EventFile | None = None
        self._steps: list[NDArray[np.float64]] = []
        self._before: dict[str, NDArray[Any]] | None = None
        self._loaded: dict[str, NDArray[Any]] | None = None

    def on_start(self, run: Watched) -> None:
        """Open the event file; after a resume, drop what lies beyond the checkpoint."""
        epoch = int(run.history.last["epoch"])
        resumed = rewind_events(self.folder, step=run.step, epoch=epoch)
        self._file = EventFile(self.folder)
        # a limit of M points: the start, the end, and evenly spaced epochs between
        self._stride = max(1, math.ceil(run.epochs / max(1, self.max_points - 2)))
        self._drawing = max(1, math.ceil(run.epochs / max(1, self.histograms - 2)))
        if not resumed:
            self._file.layout(layout(run.history.last))
            for title, page in self.text.items():
                self._file.text(title, page)
            self._write_epoch(run)
            self._write_histograms(run)
        if run.step == run.history.last["step"]:
            self._remember(run, epoch)
        else:  # the checkpoint was taken amid an epoch
            self._before = self._loaded
        self.flush()

    def on_block(self, run: Watched, kept: NDArray[np.float64]) -> None:
        """Take the steps that are kept, and write them now and then: many at once cost less."""
        if len(kept):
            self._steps.append(kept)
        self._flush_if_due()

    def on_epoch(self, run: Watched) -> None:
        """Write the epoch if it is kept."""
        assert self._file is not None
        epoch = int(run.history.last["epoch"])
        if epoch % self._stride == 0:
            self._write_epoch(run)
            self._write_updates(run, epoch)
        self._remember(run, epoch)
        if epoch % self._drawing == 0:
            self._write_histograms(run)
        self._flush_if_due()

    def on_end(self, run: Watched, result: Result) -> None:
        """Write the last epoch, the hyperparameters and the status."""
        assert self._file is not None
        epoch = int(run.history.last["epoch"])
        if epoch % self._stride:
            self._write_epoch(run)
        if epoch % self._drawing:
            self._write_histograms(run)
        self._file.text("verdict", f"**{result.status}**: {result.reason}", epoch)
        self._file.hyperparameters({**self.hyperparameters, "status": str(result.status)})

    def flush(self) -> None:
        """Hand all events to the operating system."""
        if self._file is not None:
            self._write_steps(self._file)
            self._file.flush()
            self._flushed = time.monotonic()

    def state(self) -> dict[str, Tensor]:
        """Return where the parameters were when the epoch began."""
        return {f"before.{n}": torch.from_numpy(p) for n, p in (self._before or {}).items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back where the parameters were when the epoch began."""
        found = {n.removeprefix("before."): p for n, p in state.items() if n.startswith("before.")}
        self._loaded = {name: values.numpy() for name, values in found.items()} or None

    def close(self) -> None:
        """Flush and close the event file."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                self._write_steps(file)
            finally:
                file.close()

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
        # a metric that is not defined, or was not measured here, is NaN
        values = {tag: v for k, v in row.items() if (tag := tag_of(k)) and not math.isnan(v)}
        self._file.scalars(values, int(row["epoch"]))

    def _remember(self, run: Watched, epoch: int) -> None:
        """Keep the parameters if the next epoch's update is to be written."""
        self._before = None
        if (epoch + 1) % self._stride == 0 and epoch < run.epochs:
            self._before = {n: p.cpu().numpy().copy() for n, p in run.parameters().items()}

    def _write_updates(self, run: Watched, epoch: int) -> None:
        """Write how far the epoch has moved each parameter, relative to its size before."""
        if self._before is None:
            return
        assert self._file is not None
        ratios = {}
        for name, values in run.parameters().items():
            before = self._before[name]
            size = float(np.linalg.norm(before))
            if size > 0:  # what starts at zero has no ratio
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


def layout(columns: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Return how the Custom Scalars page is arranged, without charts that would stay empty.

    Args:
        columns: of the history by epoch.

    Example:
        >>> list(layout(["objective", "lr", "theory/gap"])["1. Is it descending?"])
        ['objective', 'loss by step', 'gap to the minimum', 'learning rate']
    """
    shown = [
        "loss/step",
        "gradient_norm/step",
        "update_ratio/",
        *filter(None, map(tag_of, columns)),
    ]
    return {
        question: {
            title: tags
            for title, tags in charts.items()
            if any(re.fullmatch(tag, one) for tag in tags for one in shown)
        }
        for question, charts in LAYOUT.items()
    }
