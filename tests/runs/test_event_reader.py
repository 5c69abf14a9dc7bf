"""Scalars of event files that TensorBoard or a stranger may have written."""

from __future__ import annotations

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DataType

from gdframe.runs.event_reader import read_curves
from gdframe.runs.event_records import record

CONTENTS = [{"tensor_content": content} for content in (b"", b"x", b"12345678", b"\xff" * 64)] + [
    {field.name: [value]}
    for field in TensorProto.DESCRIPTOR.fields
    if field.name.endswith("_val") and field.message_type is None
    for value in ((b"x", b"") if field.name == "string_val" else (0, 1, 70_000))
    if field.name != "float8_val"
]
"""Contents of tensors, of which each data type reads one."""


def test_every_tensor_is_a_number_or_none(tmp_path):
    events = []
    for dtype in DataType.values():
        for content in CONTENTS:
            event = Event(step=1)
            event.summary.value.add(tag="tensor", tensor=TensorProto(dtype=dtype, **content))
            events.append(event)
    last = Event(step=2)
    last.summary.value.add(tag="last", simple_value=2.0)
    path = tmp_path / "events"
    path.write_bytes(b"".join(record(e.SerializeToString()) for e in (*events, last)))
    damages: list[str] = []
    curves = read_curves([path], damages)
    assert curves["last"][1].tolist() == [2.0]
    assert damages == []
