"""A TensorBoard event file, written in the training thread and rewound on resume.

TensorBoard's own writer uses a second thread, where errors of a full disk are lost.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils import tensorboard

from gdframe.errors import in_words
from gdframe.runs.event_reader import read_records
from gdframe.runs.event_records import histogram_record, record, scalar_record, scalar_records
from gdframe.runs.event_tags import STEP_TAGS, TAGS

_summary: Any = tensorboard.summary  # its functions carry no types

MOST_GAPS = 5
"""Most gaps of curves in a message."""

BINS = 30
"""Most bins of a histogram; it has at most one bin for each value."""

MANY = 20
"""Number of points from which on writing in bulk is faster."""

_layouts: dict[str, bytes] = {}
"""Cached records of layouts, which are equal for many runs."""


class EventFile:
    """An event file that is written to.

    Args:
        file: open to append.
        is_new: whether it is empty.

    Raises:
        OSError: the file cannot be written. All methods raise it.
    """

    def __init__(self, file: BinaryIO, *, is_new: bool) -> None:
        self._file = file
        if is_new:
            self._write(Event(file_version="brain.Event:2"))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add one point to each of several curves, by tag."""
        now = time.time()
        for tag, value in values.items():
            self._file.write(scalar_record(tag, value, step, now))

    def curve(self, tag: str, values: NDArray[np.floating[Any]], steps: NDArray[np.int64]) -> None:
        """Add points to a curve; many points are encoded in bulk."""
        if len(values) < MANY:
            for value, step in zip(values.tolist(), steps.tolist(), strict=True):
                self.scalars({tag: value}, step)
        else:
            self._file.write(scalar_records(tag, values, steps, time.time()))

    def text(self, title: str, page: str, step: int = 0) -> None:
        """Add a Markdown page."""
        self._add(_summary.text(title, page), step)

    def histogram(self, tag: str, values: NDArray[Any], step: int) -> None:
        """Add the distribution of values; do nothing if their range is not finite."""
        low, high = float(values.min()), float(values.max())
        size = max(abs(low), abs(high))
        if high - low <= 1e-6 * size or size == 0:  # too narrow for bins
            low, high = low - 0.5 * (size or 1.0), high + 0.5 * (size or 1.0)
        if math.isfinite(high - low):
            flat = values.ravel().astype(np.float64)
            count = min(BINS, flat.size)
            bins = ((flat - low) * (count / (high - low))).astype(np.int64)
            counts = np.bincount(np.minimum(bins, count - 1), minlength=count)
            limits = low + (high - low) / count * np.arange(1.0, count + 1)
            limits[-1] = high
            facts = (low, high, float(flat.size), float(flat.sum()), float(flat @ flat))
            self._file.write(
                histogram_record(tag, facts, limits, counts.astype(float), step, time.time())
            )

    def image(self, tag: str, png: bytes, step: int = 0) -> None:
        """Add a picture."""
        width, height = struct.unpack(">II", png[16:24])  # in its first chunk, IHDR
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self._add(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def layout(self, charts: Mapping[str, Mapping[str, list[str]]]) -> None:
        """Add the layout of the Custom Scalars page: tags, or patterns of tags, by chart."""
        key = repr(charts)
        if key not in _layouts:
            named = {
                title: {chart: ["Multiline", tags] for chart, tags in group.items()}
                for title, group in charts.items()
            }
            event = Event(summary=_summary.custom_scalars(named), wall_time=time.time())
            _layouts[key] = record(event.SerializeToString())
        self._file.write(_layouts[key])

    def hyperparameters(self, values: Mapping[str, bool | int | float | str]) -> None:
        """Add the values of the HParams page, and the end of the run.

        The summary of the experiment is omitted, because it would hide columns of other runs.
        """
        _, start, end = _summary.hparams(dict(values), {}, None)
        self._add(start, 0)
        self._add(end, 0)

    def _add(self, content: Any, step: int) -> None:
        self._write(Event(summary=content, step=step))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._file.write(record(event.SerializeToString()))

    def flush(self) -> None:
        """Pass all events to the operating system, so that they survive this process."""
        self._file.flush()

    def is_removed(self) -> bool:
        """Return whether somebody has removed the file, or put another in its place."""
        return os.fstat(self._file.fileno()).st_nlink == 0

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()


@dataclass(frozen=True)
class Checkpointed:
    """The events that an uninterrupted run has written at a checkpoint.

    Args:
        step: steps done.
        epoch: complete epochs done.
        stride: epochs between two points of a curve.
        drawing: epochs between two histograms.
    """

    step: int
    epoch: int
    stride: int
    drawing: int

    def holds(self, event: Event) -> bool:
        """Return whether an event is one of them: an end of the run has written more."""
        tags = [value.tag for value in event.summary.value]
        if any(tag.startswith(("_hparams_", "verdict")) for tag in tags):
            return False
        if any(tag in STEP_TAGS.values() for tag in tags):
            return bool(event.step <= self.step)
        is_histogram = any(value.HasField("histo") for value in event.summary.value)
        stride = self.drawing if is_histogram else self.stride
        return bool(event.step <= self.epoch and event.step % stride == 0)


def rewind(
    paths: Sequence[Path], checkpointed: Checkpointed, file: BinaryIO, damages: list[str]
) -> set[int] | None:
    """Copy the events of files that an uninterrupted run has written at a checkpoint.

    Args:
        paths: of the event files. An event that several of them hold is copied once.
        checkpointed: the checkpoint.
        file: to copy to.
        damages: gets a message about each damaged file.

    Returns:
        The epochs whose evaluation remains; None if no events remain.

    Raises:
        OSError: the file cannot be written.
    """
    copied: set[bytes] = set()
    epochs: set[int] = set()
    has_events = False
    for index, path in enumerate(paths):
        for content, event in read_records(path, damages):
            if content in copied or (event.HasField("file_version") and index):
                continue
            if checkpointed.holds(event):
                has_events = has_events or event.HasField("summary")
                if any(value.tag == TAGS["lr"] for value in event.summary.value):
                    epochs.add(event.step)
                file.write(record(content))
                if len(paths) > 1:
                    copied.add(content)
    return epochs if has_events else None


def missing_epochs(present: Iterable[int], first: int, last: int, stride: int) -> str:
    """Return the epochs that curves lack, in words; empty if they lack none.

    Args:
        present: epochs of the points.
        first: epoch from which on there should be points.
        last: epoch up to which there should be points.
        stride: epochs between two points, above 0; there should be points at its multiples.

    Example:
        >>> missing_epochs([0, 2, 10], 0, 13, 2), missing_epochs([0, 1, 2], 0, 2, 1)
        ('4 to 8, 12', '')
    """
    begin, end = -(-first // stride) * stride, last // stride * stride
    known = sorted(epoch for epoch in present if begin <= epoch <= end and epoch % stride == 0)
    bounds = pairwise([begin - stride, *known, end + stride])
    gaps = [(a + stride, b - stride) for a, b in bounds if b - a > stride]
    texts = [f"{a:,}" if a == b else f"{a:,} to {b:,}" for a, b in gaps]
    if len(texts) > MOST_GAPS:
        texts = [*texts[: MOST_GAPS - 1], f"others up to {gaps[-1][1]:,}"]
    return in_words(texts) if texts else ""
