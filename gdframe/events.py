"""Takes an event file back to a checkpoint, so that a resumed run has one unbroken curve."""

from __future__ import annotations

import os
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

STEP_TAGS = ("loss/step", "gradient_norm/step")
"""Tags whose x axis is the step; that of all others is the epoch."""


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
    files = sorted(folder.glob("events.out.tfevents.*"))
    if not files:
        return False
    kept = False
    temporary = folder / f".events.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        writer = RecordWriter(file)
        for index, path in enumerate(files):
            for event in EventFileLoader(str(path)).Load():
                if event.HasField("file_version") and index:
                    continue
                if _belongs(event, step, epoch):
                    kept = kept or event.HasField("summary")
                    writer.write(event.SerializeToString())
        writer.flush()
        os.fsync(file.fileno())
    temporary.replace(files[0])
    for path in files[1:]:
        path.unlink()
    return kept


def _belongs(event: Event, step: int, epoch: int) -> bool:
    """Say whether an event precedes the checkpoint; what only an ended run has does not."""
    tags = [value.tag for value in event.summary.value]
    if any(tag.startswith(("_hparams_", "verdict")) for tag in tags):
        return False
    limit = step if any(tag in STEP_TAGS for tag in tags) else epoch
    return bool(event.step <= limit)
