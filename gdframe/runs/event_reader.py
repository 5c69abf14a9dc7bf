"""Readers of event files: records, and scalars by tag."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_ndarray

from gdframe.runs.event_records import masked_checksum

Array = NDArray[np.float64]

_HEADER, _CHECKSUM_SIZE = struct.Struct("<QI"), 4

LARGEST_SCALAR = 400
"""Most bytes of an event with a scalar; larger events are histograms, texts and pictures."""


def read_records(path: Path) -> Iterator[bytes]:
    """Return the serialized events of a file, up to the first damaged or incomplete one.

    TensorBoard's own reader computes checksums in Python and is a hundred times slower.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return
    at = 0
    while at + _HEADER.size <= len(content):
        length, _ = _HEADER.unpack_from(content, at)
        start = at + _HEADER.size
        at = start + length + _CHECKSUM_SIZE
        if at > len(content):
            return
        event = content[start : start + length]
        if content[start + length : at] != masked_checksum(event):
            return
        yield event


def read_curves(paths: Iterable[Path]) -> dict[str, tuple[Array, Array]]:
    """Return the scalars in event files by tag: steps and values, (points,) each."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for path in paths:
        for content in read_records(path):
            if len(content) >= LARGEST_SCALAR:
                continue
            event = Event.FromString(content)
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                if kind == "simple_value":
                    number = value.simple_value
                elif kind == "tensor" and not value.tensor.tensor_shape.dim:
                    array = make_ndarray(value.tensor)
                    if array.dtype.kind != "f":
                        continue
                    number = float(array)
                else:
                    continue
                steps, values = curves.setdefault(value.tag, ([], []))
                steps.append(float(event.step))
                values.append(number)
    return {tag: (np.array(x), np.array(y)) for tag, (x, y) in curves.items()}
