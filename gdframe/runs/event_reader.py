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

from gdframe.runs.event_records import masked_checksum
from gdframe.runs.folder import Folder

Array = NDArray[np.float64]

_HEADER, _CHECKSUM_SIZE = struct.Struct("<QI"), 4

MOST_BYTES = 1 << 24
"""Most bytes of an event, of which two may become a value of a hundred bytes."""

MOST_CURVES, MOST_POINTS = 2_000, 2_000_000
"""Most curves of a folder, and most points of all of them."""

LARGEST_SCALAR = 400
"""Most bytes of an event with a scalar; larger events are histograms, texts and pictures."""


def read_records(
    path: Path, damages: list[str] | None = None, *, most: int = MOST_BYTES
) -> Iterator[tuple[bytes, Event]]:
    """Return the events of a file, serialized and parsed, up to the first that is damaged.

    TensorBoard's own reader computes checksums in Python and is a hundred times slower.

    Args:
        path: of the file.
        damages: gets a message about a damaged event. The last event of a run in training may be
            incomplete; that is no damage.
        most: bytes of an event; larger ones are left out.
    """
    messages = [] if damages is None else damages
    at = 0
    try:
        with Folder(path.parent).open(path.name) as file:
            while len(head := file.read(_HEADER.size)) == _HEADER.size:
                content = _read_content(file, head)
                if content is None:
                    return
                if len(content) <= most:
                    yield content, Event.FromString(content)
                at = file.tell()
    except (ValueError, DecodeError):
        messages.append(f"{path}: is damaged from byte {at:,} on; the events before it are used")
    except OSError as error:
        messages.append(f"{path}: cannot be read: {error.strerror}")


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
