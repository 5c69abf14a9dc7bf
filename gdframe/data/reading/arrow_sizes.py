"""The size of an Arrow file once it is decompressed, from the headers of its messages.

A few compressed bytes may stand for any number of values, and a batch is decompressed as a whole.
The layout of a message is that of the Arrow format (Message.fbs), in FlatBuffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

MAGIC = 8
"""Bytes before the first message."""

HEADER = 2
"""The place of the header in a message's table."""

BUFFERS, COMPRESSION, DATA = 2, 3, 1
"""The places of both in the table of a record batch, and of the batch in that of a dictionary."""

DICTIONARY, BATCH = "dictionary", "record batch"
"""Types of messages that hold values."""


def decompressed_size(source: pa.NativeFile) -> int:
    """Return the bytes of all buffers of an Arrow file, as their headers tell.

    Args:
        source: the file; it is left at an unknown position.

    Raises:
        ValueError: a header is damaged.
    """
    source.seek(MAGIC)
    try:
        return sum(map(_size, pa.ipc.MessageReader.open_stream(source)))
    except (struct.error, pa.ArrowException, OSError) as error:
        raise ValueError(f"its headers are damaged ({error})") from error


def _size(message: pa.ipc.Message) -> int:
    if message.type not in (DICTIONARY, BATCH):
        return 0
    text, body = message.metadata.to_pybytes(), message.body
    table = _table(text, _field(text, _table(text, 0), HEADER))
    if message.type == DICTIONARY:
        table = _table(text, _field(text, table, DATA))
    if not _field(text, table, COMPRESSION):
        return int(body.size)
    return sum(_sizes(text, _field(text, table, BUFFERS), memoryview(body)))


def _sizes(text: bytes, place: int, body: memoryview) -> Iterator[int]:
    """Yield the size of each buffer: its first eight bytes tell it, or -1 if it is as stored."""
    if not place:
        return
    first = _table(text, place)
    (count,) = struct.unpack_from("<I", text, first)
    for offset, length in struct.iter_unpack("<qq", text[first + 4 : first + 4 + 16 * count]):
        if length:
            (size,) = struct.unpack_from("<q", body, offset)
            if size < -1:
                raise ValueError(f"a buffer has {size} bytes")
            yield length if size == -1 else size


def _table(text: bytes, place: int) -> int:
    """Return where a table begins to which a place refers."""
    return int(place + struct.unpack_from("<I", text, place)[0])


def _field(text: bytes, table: int, index: int) -> int:
    """Return the place of a field of a table; 0 if it is missing."""
    vtable = table - struct.unpack_from("<i", text, table)[0]
    (size,) = struct.unpack_from("<H", text, vtable)
    if 4 + 2 * index >= size:
        return 0
    (offset,) = struct.unpack_from("<H", text, vtable + 4 + 2 * index)
    return table + offset if offset else 0
