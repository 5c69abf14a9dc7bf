"""Points of a curve, or a distribution, as the bytes of an event file.

An event file is a sequence of records: the length of an event (8 bytes), a checksum of that, the
event, and a checksum of that. An event that holds one scalar is a protocol-buffer message of a few
fixed fields, so that thousands are written by filling in the columns of one array of bytes.

Sources: ``tensorboard/compat/proto/event.proto`` and ``summary.proto``; the record format of
TensorFlow's ``record_writer.h``; CRC-32C is RFC 3720, appendix B.4.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Bins = NDArray[np.float64]


def scalar_records(
    tag: str, values: NDArray[np.floating[Any]], steps: NDArray[np.int64], wall_time: float
) -> bytes:
    """Return the records of points (steps, values) of a curve, in order.

    Args:
        tag: the curve's name.
        values: (points,) its values, stored in single precision.
        steps: (points,) their steps, at least 0 and ascending.
        wall_time: seconds since 1970, of all points.

    Example:
        >>> len(scalar_records("loss", np.ones(3), np.array([1, 2, 300]), 0.0))
        127
    """
    prefix, middle = _prefix(wall_time), _middle(tag)
    with np.errstate(over="ignore"):  # beyond single precision is infinite, as TensorBoard has it
        ends = values.astype("<f4").view(np.uint8).reshape(-1, 4)
    parts = []
    for rows, numbers, state in _columns(steps.astype("<i8").tobytes(), len(middle)):
        width = numbers.shape[1]
        head = _head(len(prefix) + width + len(middle) + 4) + prefix
        found = np.empty((len(numbers), len(head) + width + len(middle) + 8), np.uint8)
        found[:, : len(head)] = np.frombuffer(head, np.uint8)
        found[:, len(head) : len(head) + width] = numbers
        found[:, len(head) + width : -8] = np.frombuffer(middle, np.uint8)
        found[:, -8:-4] = ends[rows]
        same = _state(0xFFFFFFFF, prefix + bytes(width) + middle)
        found[:, -4:] = _checksum(state ^ np.uint32(same), ends[rows])
        parts.append(found.tobytes())
    return b"".join(parts)


def scalar_record(tag: str, value: float, step: int, wall_time: float) -> bytes:
    """Return the record of one point of a curve."""
    try:
        number = struct.pack("<f", value)
    except OverflowError:  # beyond single precision is infinite, as TensorBoard has it
        number = struct.pack("<f", math.copysign(math.inf, value))
    return record(_prefix(wall_time) + _varint(step) + _middle(tag) + number)


def histogram_record(
    tag: str, facts: Sequence[float], limits: Bins, counts: Bins, step: int, wall_time: float
) -> bytes:
    """Return the record of a distribution.

    Args:
        tag: its name.
        facts: smallest and largest value, number of values, their sum and that of their squares.
        limits: (bins,) where each bin ends.
        counts: (bins,) how many values lie in it.
        step: at least 0.
        wall_time: seconds since 1970.
    """
    packed = [_field(key, bins.tobytes()) for key, bins in ((0x32, limits), (0x3A, counts))]
    histogram = b"".join(map(_double, (0x09, 0x11, 0x19, 0x21, 0x29), facts)) + b"".join(packed)
    value = _field(0x0A, tag.encode()) + _field(0x2A, histogram)
    return record(_prefix(wall_time) + _varint(step) + _field(0x2A, _field(0x0A, value)))


def _double(key: int, value: float) -> bytes:
    return struct.pack("<Bd", key, value)


@lru_cache(maxsize=4)
def _prefix(wall_time: float) -> bytes:
    """Return what precedes an event's step."""
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10"  # field 1: time; 2: the step


@lru_cache(maxsize=1 << 10)
def _middle(tag: str) -> bytes:
    """Return what stands between an event's step and its value."""
    value = _field(0x0A, tag.encode()) + b"\x15"  # field 1: the tag; 2: a float
    length = len(value) + 4
    inner = b"\x0a" + _varint(length) + value  # the summary's field 1: a value
    return b"\x2a" + _varint(len(inner) + 4) + inner  # field 5: the summary


def record(message: bytes) -> bytes:
    """Return the record of any event."""
    return _head(len(message)) + message + masked_checksum(message)


@lru_cache(maxsize=1 << 10)
def _head(length: int) -> bytes:
    content = struct.pack("<Q", length)
    return content + masked_checksum(content)


def _field(key: int, content: bytes) -> bytes:
    return bytes([key]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def masked_checksum(content: bytes) -> bytes:
    """Return the checksum of bytes, rotated and shifted as the format asks, 4 bytes."""
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _state(start: int, content: bytes) -> int:
    """Take the state of a checksum through bytes."""
    return int(google_crc32c.extend(start ^ 0xFFFFFFFF, content)) ^ 0xFFFFFFFF


@lru_cache(maxsize=16)
def _columns(steps: bytes, middle: int) -> list[tuple[slice, Bytes, NDArray[np.uint32]]]:
    """Return what steps come to as columns of bytes; runs trained together have the same ones.

    A state of the checksum goes through bytes as through zeros, but for what the bytes make of a
    state of zero. So what is the same for all rows is left to be added.

    Args:
        steps: (rows,) of 8 bytes each, ascending.
        middle: how many bytes lie between step and value.

    Returns:
        For rows whose steps take the same number of bytes: which they are, these bytes (rows,
        bytes), and what they make of a state of zero, by the value's first byte (rows,).
    """
    numbers = np.frombuffer(steps, "<i8")
    widths = _varint_widths(numbers)
    found = []
    for width in np.unique(widths).tolist():  # messages of one width are columns of one array
        begin, end = np.searchsorted(widths, [width, width + 1]).tolist()
        groups = _varints(numbers[begin:end], width)
        state = np.zeros(end - begin, np.uint32)
        for column in groups.T:
            state = _table()[(state ^ column) & 0xFF] ^ (state >> np.uint32(8))
        found.append((slice(begin, end), groups, _through_zeros(state, middle)))
    return found


def _varint_widths(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many groups of seven bits each number takes."""
    widths = np.ones(len(numbers), np.int64)
    rest = numbers >> 7
    while rest.any():
        widths += rest > 0
        rest = rest >> 7
    return widths


def _varints(numbers: NDArray[np.int64], width: int) -> Bytes:
    """Return numbers as groups of seven bits, all but the last marked, (numbers, width)."""
    groups = (numbers[:, None] >> (7 * np.arange(width))) & 0x7F
    groups[:, :-1] |= 0x80
    return groups.astype(np.uint8)


def _checksum(state: NDArray[np.uint32], values: Bytes) -> Bytes:
    """Return the masked CRC-32C, (rows, 4), of rows whose state before their values is known."""
    last = state ^ np.ascontiguousarray(values).view("<u4")[:, 0]
    crc = _through_zeros(last, 4) ^ np.uint32(0xFFFFFFFF)
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    return masked.astype("<u4").view(np.uint8).reshape(-1, 4)


def _through_zeros(state: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    """Take a checksum's states through ``count`` zeros, byte by byte of the state."""
    parts = state.astype("<u4", copy=False).view(np.uint8).reshape(-1, 4).T
    tables = _zeros(count)
    first, second, third, fourth = (tables[i].take(part) for i, part in enumerate(parts))
    found: NDArray[np.uint32] = first ^ second ^ third ^ fourth
    return found


@cache
def _zeros(count: int) -> NDArray[np.uint32]:
    """Return what ``count`` zeros make of each byte of a state, (4, 256)."""
    states = np.arange(256, dtype=np.uint32) << (8 * np.arange(4, dtype=np.uint32)[:, None])
    for _ in range(count):
        states = _table()[states & 0xFF] ^ (states >> np.uint32(8))
    return states


@cache
def _table() -> NDArray[np.uint32]:
    """Return the table of CRC-32C, whose polynomial is 0x82F63B78 in reflected form."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table.astype(np.uint32)
