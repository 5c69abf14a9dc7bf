"""Event records equal those of TensorBoard's own reader and writer."""

from __future__ import annotations

import io

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from gdframe.runs.event_records import scalar_record, scalar_records


def test_bytes_equal_those_of_tensorboards_own_writer():
    steps = np.array([0, 1, 127, 128, 300, 16_383, 16_384, 10**9, 10**13])
    values = np.array([0.0, -1.5, 1e-30, 3.25, np.nan, np.inf, 1e30, 2.0, 7.0])
    file = io.BytesIO()
    writer = RecordWriter(file)
    for step, value in zip(steps, values):
        content = summary.scalar("loss/step", float(value))
        event = Event(summary=content, step=int(step), wall_time=123.25)
        writer.write(event.SerializeToString())
    ours = scalar_records("loss/step", values, steps, 123.25)
    events = [Event.FromString(data) for data in _payloads(ours)]
    theirs = [Event.FromString(data) for data in _payloads(file.getvalue())]
    # a writer omits a step of zero, but the events are equal
    assert [str(e) for e in events] == [str(e) for e in theirs]
    assert ours[-200:] == file.getvalue()[-200:]
    pairs = zip(values.tolist(), steps.tolist())
    assert b"".join(scalar_record("loss/step", *pair, 123.25) for pair in pairs) == ours


def test_a_value_beyond_single_precision_is_infinite_in_both():
    record = scalar_record("a", -1e300, 3, 0.0)
    assert record == scalar_records("a", np.array([-1e300]), np.array([3]), 0.0)
    assert Event.FromString(_payloads(record)[0]).summary.value[0].simple_value == -np.inf


def _payloads(content: bytes) -> list[bytes]:
    payloads, start = [], 0
    while start < len(content):
        length = int.from_bytes(content[start : start + 8], "little")
        payloads.append(content[start + 12 : start + 12 + length])
        start += 16 + length
    return payloads


def test_tensorboard_reads_them_with_their_checksums(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    steps = np.arange(1, 2000, 7)
    path.write_bytes(scalar_records("a", np.sin(steps), steps, 1.0))
    events = list(LegacyEventFileLoader(str(path)).Load())
    assert [event.step for event in events] == steps.tolist()
    values = [event.summary.value[0].simple_value for event in events]
    np.testing.assert_allclose(values, np.sin(steps), rtol=1e-7)


@pytest.mark.parametrize("length", [1, 108, 120, 127, 200, 20_000])
def test_tags_of_any_length_are_read_back(tmp_path, length):
    """Lengths in a message are one, two or three bytes long."""
    path = tmp_path / "events.out.tfevents.1"
    record = scalar_record("x" * length, 3.5, 300, 2.0)
    records = scalar_records("x" * length, np.full(2, 3.5), np.full(2, 300), 2.0)
    assert records == record + record
    path.write_bytes(records)
    events = list(LegacyEventFileLoader(str(path)).Load())
    assert [event.summary.value[0].tag for event in events] == ["x" * length] * 2
