"""A TensorBoard event file: written by one thread, and taken back to a checkpoint on resume.

TensorBoard's own writer hands events to a second thread, in which a full disk goes unnoticed.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils import tensorboard

from gdframe.runs.event_reader import read_records
from gdframe.runs.event_records import histogram_record, record, scalar_record, scalar_records
from gdframe.runs.event_tags import STEP_TAGS

_summary: Any = tensorboard.summary  # its functions carry no types

BINS = 30
"""Most bins of a histogram; never more than values."""

MANY = 20
"""Points from which on writing them in bulk is faster."""

_layouts: dict[str, bytes] = {}
"""Records of layouts: that of many runs is made once."""

PATTERN = "events.out.tfevents.*"


class EventFile:
    """The one event file of a run's folder; a new one, or the one that is there.

    Args:
        folder: where it lies.

    Raises:
        OSError: it cannot be written; so do all methods.
    """

    def __init__(self, folder: Path) -> None:
        existing = sorted(folder.glob(PATTERN))
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._file = (existing[0] if existing else folder / name).open("ab", buffering=1 << 20)
        if not existing:
            self._write(Event(file_version="brain.Event:2"))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add a point of each of several curves, by tag."""
        now = time.time()
        for tag, value in values.items():
            self._file.write(scalar_record(tag, value, step, now))

    def curve(self, tag: str, values: NDArray[np.floating[Any]], steps: NDArray[np.int64]) -> None:
        """Add points of a curve; many at once are encoded as one array of bytes."""
        if len(values) < MANY:
            for value, step in zip(values.tolist(), steps.tolist(), strict=True):
                self.scalars({tag: value}, step)
        else:
            self._file.write(scalar_records(tag, values, steps, time.time()))

    def text(self, title: str, page: str, step: int = 0) -> None:
        """Add a Markdown page."""
        self._add(_summary.text(title, page), step)

    def histogram(self, tag: str, values: NDArray[Any], step: int) -> None:
        """Add the distribution of values; nothing where they span no finite range."""
        low, high = float(values.min()), float(values.max())
        size = max(abs(low), abs(high))
        if high - low <= 1e-6 * size or size == 0:  # too narrow to be cut into bins
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
        width, height = struct.unpack(">II", png[16:24])  # of its first chunk, IHDR
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self._add(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def layout(self, charts: Mapping[str, Mapping[str, list[str]]]) -> None:
        """Add how the Custom Scalars page is arranged: tags, or patterns of them, by chart."""
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
        """Add what the HParams page shows, and that the run has ended.

        The summary of the whole experiment is left out: it would hide the columns of a sweep's
        other runs.
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
        """Hand everything to the operating system, so that it outlives this process."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()


def rewind_events(folder: Path, *, step: int, epoch: int) -> bool:
    """Join the event files of ``folder`` into one and drop what lies beyond the checkpoint.

    Args:
        folder: a run's folder.
        step: updates done at the checkpoint.
        epoch: complete epochs done at the checkpoint.

    Returns:
        Whether there were events to keep.

    Raises:
        OSError: the new file cannot be written; the old ones stay as they were.
    """
    files = sorted(folder.glob(PATTERN))
    if not files:
        return False
    kept = False
    temporary = folder / f".events.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            for index, path in enumerate(files):
                for content in read_records(path):
                    event = Event.FromString(content)
                    if event.HasField("file_version") and index:
                        continue
                    if _belongs(event, step, epoch):
                        kept = kept or event.HasField("summary")
                        file.write(record(content))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(files[0])
    finally:
        temporary.unlink(missing_ok=True)
    for path in files[1:]:
        path.unlink()
    return kept


def _belongs(event: Event, step: int, epoch: int) -> bool:
    """Say whether an event precedes the checkpoint; what only an ended run has does not."""
    tags = [value.tag for value in event.summary.value]
    if any(tag.startswith(("_hparams_", "verdict")) for tag in tags):
        return False
    limit = step if any(tag in STEP_TAGS.values() for tag in tags) else epoch
    return bool(event.step <= limit)
