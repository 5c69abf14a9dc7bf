"""Readers of event files: records, and scalars by tag."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.util.tensor_util import make_ndarray

from gdframe.errors import counted
from gdframe.runs.event_records import masked_checksum
from gdframe.runs.folder import Folder

Array = NDArray[np.float64]

_HEADER, _CHECKSUM_SIZE = struct.Struct("<QI"), 4

MOST_BYTES = 1 << 24
"""Most bytes of an event, of which two may become a value of a hundred bytes."""

MOST_PLACES, MOST_TRIES, WINDOW = 100, 1 << 16, 1 << 20
"""Most damaged places of a file that are passed over, most places in each at which a record may
begin, and bytes that are searched for them at a time. A crafted file could take hours."""

MOST_CURVES, MOST_POINTS = 2_000, 2_000_000
"""Most curves of a folder, and most points of all of them."""

LARGEST_SCALAR = 400
"""Most bytes of an event with a scalar; larger events are histograms, texts and pictures."""


def read_records(
    path: Path, damages: list[str] | None = None, *, most: int = MOST_BYTES
) -> Iterator[tuple[bytes, Event]]:
    """Return the events of a file, serialized and parsed, without those that are damaged.

    TensorBoard's own reader computes checksums in Python and is a hundred times slower.

    Args:
        path: of the file.
        damages: gets a message about damaged events. The last event of a run in training may be
            incomplete; that is no damage.
        most: bytes of an event; larger ones are left out.
    """
    messages = [] if damages is None else damages
    places, at = list[int](), 0
    try:
        with Folder(path.parent).open(path.name) as file:
            while len(head := file.read(_HEADER.size)) == _HEADER.size:
                try:
                    content = _read_content(file, head)
                    event = None
                    if content is not None and len(content) <= most:
                        event = Event.FromString(content)
                except (ValueError, DecodeError):
                    places.append(at)
                    at = _next_record(file, at + 1) if len(places) < MOST_PLACES else -1
                    if at < 0:
                        break
                    file.seek(at)
                    continue
                if content is None:
                    break
                if event is not None:
                    yield content, event
                at = file.tell()
        if places:
            messages.append(f"{path}: {_told(places, to_the_end=at < 0)}")
    except OSError as error:
        messages.append(f"{path}: cannot be read: {error.strerror}")


def _told(places: list[int], *, to_the_end: bool) -> str:
    """Return a message on the damaged places of a file, which are numbers of bytes."""
    *between, last = places if to_the_end else [*places, 0]
    more = f"from byte {last:,} on; the events before it are used"
    if not between:
        return f"is damaged {more}"
    others = f"the first at byte {between[0]:,}" if len(between) > 1 else f"byte {between[0]:,}"
    rest = f", and {more}" if to_the_end else "; the events there are left out"
    return f"is damaged at {counted(len(between), 'place')}, {others}{rest}"


def _read_content(file: BinaryIO, head: bytes) -> bytes | None:
    """Return the next serialized event of a file, or None if the file ends before it does.

    Raises:
        ValueError: the event is damaged.
    """
    length = int.from_bytes(head[:8], "little")
    if head[8:] != masked_checksum(head[:8]) or length > MOST_BYTES:
        raise ValueError
    content, check = file.read(length), file.read(_CHECKSUM_SIZE)
    if len(check) < _CHECKSUM_SIZE:
        return None
    if check != masked_checksum(content):
        raise ValueError
    return content


def _next_record(file: BinaryIO, start: int) -> int:
    """Return the first byte, from ``start`` on, of a record whose length has its checksum, or -1.

    The bytes of the largest event are searched.
    """
    tries = 0
    for at in range(start, start + MOST_BYTES, WINDOW):
        file.seek(at)
        window = file.read(WINDOW + _HEADER.size - 1)
        for offset in _possible_lengths(window):
            length, check = window[offset : offset + 8], window[offset + 8 : offset + _HEADER.size]
            if check == masked_checksum(length):
                return at + offset
            tries += 1
            if tries == MOST_TRIES:
                return -1
    return -1


def _possible_lengths(window: bytes) -> list[int]:
    """Return the offsets at which a length below 2^24 may be, followed by a checksum."""
    count = len(window) - _HEADER.size + 1
    if count <= 0:
        return []
    is_zero = np.frombuffer(window, np.uint8) == 0
    parts = [is_zero[place : place + count] for place in range(_HEADER.size)]
    is_length = np.logical_and.reduce(parts[3:8])
    offsets: list[int] = np.flatnonzero(is_length & ~np.logical_and.reduce(parts[8:])).tolist()
    return offsets


def read_curves(
    paths: Iterable[Path], damages: list[str] | None = None
) -> dict[str, tuple[Array, Array]]:
    """Return the scalars in event files by tag: steps and values, (points,) each.

    Args:
        paths: of the files.
        damages: gets a message about each damaged file.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    count = 0
    for path, step, value in _values(paths, damages):
        number = _scalar(value)
        if number is None:
            continue
        count += 1
        if count > MOST_POINTS or (len(curves) == MOST_CURVES and value.tag not in curves):
            if damages is not None:
                most = f"{MOST_CURVES:,} curves or {MOST_POINTS:,} points"
                damages.append(f"{path}: has more than {most}; the first are used")
            break
        steps, values = curves.setdefault(value.tag, ([], []))
        steps.append(step)
        values.append(number)
    return {tag: (np.array(x), np.array(y)) for tag, (x, y) in curves.items()}


def _values(
    paths: Iterable[Path], damages: list[str] | None
) -> Iterator[tuple[Path, float, Summary.Value]]:
    """Yield each value in event files with its file and its step."""
    for path in paths:
        for _, event in read_records(path, damages, most=LARGEST_SCALAR):
            for value in event.summary.value:
                yield path, float(event.step), value


def _scalar(value: Any) -> float | None:
    """Return the number of a point of a curve; None for anything else."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or value.tensor.tensor_shape.dim:
        return None
    try:
        array = make_ndarray(value.tensor)
    except (TypeError, ValueError, LookupError, OverflowError):  # it holds no number
        return None
    return float(array) if array.dtype.kind == "f" and array.size == 1 else None
