"""Points of a curve as the bytes of an event file.

An event file is a sequence of records: the length of an event (8 bytes), a checksum of that, the
event, and a checksum of that. An event that holds one scalar is a protocol-buffer message of a few
fixed fields, of which all but the step and the value are the same along a curve.

Sources: ``tensorboard/compat/proto/event.proto`` and ``summary.proto``; the record format of
TensorFlow's ``record_writer.h``.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Any

import numpy as np
from google_crc32c import value as crc32c
from numpy.typing import NDArray

_pack_float, _pack_length, _pack_checksum = (struct.Struct(f).pack for f in ("<f", "<Q", "<I"))


def scalar_records(
    tag: str, values: NDArray[np.floating[Any]], steps: NDArray[np.int64], wall_time: float
) -> bytes:
    """Return the records of points (steps, values) of a curve, in order.

    Args:
        tag: the curve's name.
        values: (points,) its values, stored in single precision.
        steps: (points,) their steps, at least 0.
        wall_time: seconds since 1970, of all points.

    Example:
        >>> len(scalar_records("loss", np.ones(3), np.array([1, 2, 300]), 0.0))
        127
    """
    pairs = zip(values.tolist(), steps.tolist(), strict=True)
    return b"".join([scalar_record(tag, value, step, wall_time) for value, step in pairs])


def scalar_record(tag: str, value: float, step: int, wall_time: float) -> bytes:
    """Return the record of one point of a curve."""
    try:
        number = _pack_float(value)
    except OverflowError:  # beyond single precision is infinite, as TensorBoard has it
        number = _pack_float(math.copysign(math.inf, value))
    return record(_prefix(wall_time) + _varint(step) + _middle(tag) + number)


def record(message: bytes) -> bytes:
    """Return the record of any event."""
    return _head(len(message)) + message + _masked(message)


@lru_cache(maxsize=4)
def _prefix(wall_time: float) -> bytes:
    """Return what precedes an event's step."""
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10"  # field 1: time; 2: the step


@lru_cache(maxsize=1 << 10)
def _middle(tag: str) -> bytes:
    """Return what stands between an event's step and its value."""
    name = tag.encode()
    value = b"\x0a" + _varint(len(name)) + name + b"\x15"  # field 1: the tag; 2: a float
    length = len(value) + 4
    inner = b"\x0a" + _varint(length) + value  # the summary's field 1: a value
    return b"\x2a" + _varint(len(inner) + 4) + inner  # field 5: the summary


@lru_cache(maxsize=1 << 10)
def _head(length: int) -> bytes:
    content = _pack_length(length)
    return content + _masked(content)


def _varint(number: int) -> bytes:
    """Return a number in groups of seven bits, all but the last marked."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _masked(content: bytes) -> bytes:
    """Return the checksum of bytes, rotated and shifted as the format asks."""
    crc = crc32c(content)
    return _pack_checksum(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
