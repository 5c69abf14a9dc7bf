"""Encodes points of a curve, or a distribution, as bytes of an event file.

An event file is a sequence of records: the length of an event (8 bytes), a checksum of the length,
the event, and a checksum of the event. An event with one scalar is a protocol-buffer message of a
few fixed fields. So thousands of them are encoded as the rows of one array of bytes.

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
    """Return the records of the points of a curve, in order.

    Args:
        tag: name of the curve.
        values: (points,) stored in single precision.
        steps: (points,) at least 0 and ascending.
        wall_time: seconds since 1970.

    Example:
        >>> len(scalar_records("loss", np.ones(3), np.array([1, 2, 300]), 0.0))
        127
    """
    prefix, middle = _prefix(wall_time), _middle(tag)
    with np.errstate(over="ignore"):  # values beyond single precision become infinite
        encoded = values.astype("<f4").view(np.uint8).reshape(-1, 4)
    parts = []
    for rows, numbers, state in _columns(steps.astype("<i8").tobytes(), len(middle)):
        width = numbers.shape[1]
        head = _head(len(prefix) + width + len(middle) + 4) + prefix
        records = np.empty((len(numbers), len(head) + width + len(middle) + 8), np.uint8)
        records[:, : len(head)] = np.frombuffer(head, np.uint8)
        records[:, len(head) : len(head) + width] = numbers
        records[:, len(head) + width : -8] = np.frombuffer(middle, np.uint8)
        records[:, -8:-4] = encoded[rows]
        shared = _state(0xFFFFFFFF, prefix + bytes(width) + middle)
        records[:, -4:] = _checksum(state ^ np.uint32(shared), encoded[rows])
        parts.append(records.tobytes())
    return b"".join(parts)


def scalar_record(tag: str, value: float, step: int, wall_time: float) -> bytes:
    """Return the record of one point of a curve."""
    try:
        number = struct.pack("<f", value)
    except OverflowError:  # values beyond single precision become infinite
        number = struct.pack("<f", math.copysign(math.inf, value))
    return record(_prefix(wall_time) + _varint(step) + _middle(tag) + number)


def histogram_record(
    tag: str, facts: Sequence[float], limits: Bins, counts: Bins, step: int, wall_time: float
) -> bytes:
    """Return the record of a distribution.

    Args:
        tag: name of the distribution.
        facts: smallest and largest value, number of values, their sum, and the sum of squares.
        limits: (bins,) upper end of each bin.
        counts: (bins,) number of values in each bin.
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
    """Return the bytes of an event before its step."""
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10"  # field 1: time; 2: the step


@lru_cache(maxsize=1 << 10)
def _middle(tag: str) -> bytes:
    """Return the bytes of an event between its step and its value."""
    value = _field(0x0A, tag.encode()) + b"\x15"  # field 1: the tag; 2: a float
    length = len(value) + 4
    inner = b"\x0a" + _varint(length) + value  # the summary's field 1: a value
    return b"\x2a" + _varint(len(inner) + 4) + inner  # field 5: the summary


def record(message: bytes) -> bytes:
    """Return the record of a serialized event."""
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
    """Return the masked checksum of bytes, as the format requires, 4 bytes."""
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _state(start: int, content: bytes) -> int:
    """Return the state of a checksum after more bytes."""
    return int(google_crc32c.extend(start ^ 0xFFFFFFFF, content)) ^ 0xFFFFFFFF


@lru_cache(maxsize=16)
def _columns(steps: bytes, middle: int) -> list[tuple[slice, Bytes, NDArray[np.uint32]]]:
    """Return steps as columns of bytes, with their part of the checksum.

    The result is cached, because runs of a group have equal steps.

    CRC is linear: the state after some bytes is the state after as many zero bytes, xor the state
    that the bytes produce from zero. So the part that all rows share is added later.

    Args:
        steps: (rows,) of 8 bytes each, ascending.
        middle: number of bytes between step and value.

    Returns:
        For each encoded width of steps: the slice of rows, the encoded steps (rows, width), and
        the checksum state that they produce from zero before the value (rows,).
    """
    numbers = np.frombuffer(steps, "<i8")
    widths = _varint_widths(numbers)
    columns = []
    for width in np.unique(widths).tolist():  # messages of equal width fit one array
        begin, end = np.searchsorted(widths, [width, width + 1]).tolist()
        groups = _varints(numbers[begin:end], width)
        state = np.zeros(end - begin, np.uint32)
        for column in groups.T:
            state = _table()[(state ^ column) & 0xFF] ^ (state >> np.uint32(8))
        columns.append((slice(begin, end), groups, _through_zeros(state, middle)))
    return columns


def _varint_widths(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of seven-bit groups of each number, (numbers,)."""
    widths = np.ones(len(numbers), np.int64)
    rest = numbers >> 7
    while (rest > 0).any():
        widths += rest > 0
        rest = rest >> 7
    return widths


def _varints(numbers: NDArray[np.int64], width: int) -> Bytes:
    """Return numbers as seven-bit groups, marked except for the last, (numbers, width)."""
    groups = (numbers[:, None] >> (7 * np.arange(width))) & 0x7F
    groups[:, :-1] |= 0x80
    return groups.astype(np.uint8)


def _checksum(state: NDArray[np.uint32], values: Bytes) -> Bytes:
    """Return the masked CRC-32C of rows, (rows, 4), from the states before their values."""
    last = state ^ np.ascontiguousarray(values).view("<u4")[:, 0]
    crc = _through_zeros(last, 4) ^ np.uint32(0xFFFFFFFF)
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    return masked.astype("<u4").view(np.uint8).reshape(-1, 4)


def _through_zeros(state: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    """Return checksum states after ``count`` zero bytes, from a table for each byte."""
    parts = state.astype("<u4", copy=False).view(np.uint8).reshape(-1, 4).T
    tables = _zeros(count)
    first, second, third, fourth = (tables[i].take(part) for i, part in enumerate(parts))
    states: NDArray[np.uint32] = first ^ second ^ third ^ fourth
    return states


@cache
def _zeros(count: int) -> NDArray[np.uint32]:
    """Return the state after ``count`` zero bytes, by byte of the state and its value, (4, 256)."""
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
