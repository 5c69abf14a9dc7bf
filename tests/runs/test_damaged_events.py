"""Damage of event files: one place costs its records alone, and a resume tells what is missing."""

from __future__ import annotations

import shutil
import time

import pytest

import gdframe as gd
from gdframe.cli.main import main
from gdframe.runs.event_reader import MOST_BYTES, MOST_PLACES, read_curves, read_records
from gdframe.runs.event_records import masked_checksum, record, scalar_record
from gdframe.runs.run_folder import RunFolder

WORDS = (
    "lr=0.01", "variant=batch", "checkpoint.every=5", "stopping.tolerance=null",
    "logging.progress=false",
)  # fmt: skip

RECORDS = [scalar_record("loss", float(n), n, 0.0) for n in range(40)]


def numbers(path, damages):
    return [event.step for _, event in read_records(path, damages)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events"


def test_each_damaged_byte_costs_one_record(path):
    whole = b"".join(RECORDS[:3])
    size = len(RECORDS[0])
    for at in range(len(whole)):
        content = bytearray(whole)
        content[at] ^= 1
        path.write_bytes(content)
        damages: list[str] = []
        assert numbers(path, damages) == [n for n in range(3) if n != at // size]
        assert len(damages) == 1
        is_last = at // size == 2
        place = f"{at // size * size:,}"
        told = f"from byte {place} on" if is_last else f"at 1 place, byte {place}; the events there"
        assert told in damages[0]


def test_places_are_told_together(path):
    content = bytearray(b"".join(RECORDS))
    size = len(RECORDS[0])
    content[2 * size + 14] ^= 1
    content[20 * size + 2 : 22 * size] = bytes(2 * size - 2)  # a block of zeros
    path.write_bytes(content[: -size - 3] + b"\x01" * size)
    damages: list[str] = []
    assert numbers(path, damages) == [n for n in range(38) if n not in (2, 20, 21)]
    (message,) = damages
    assert f"at 2 places, the first at byte {2 * size:,}, and from byte {38 * size:,} on" in message


LARGE = (MOST_BYTES - 1).to_bytes(8, "little")


@pytest.mark.parametrize(
    "part", [b"\x0c" + bytes(7) + b"none", bytes(7) + b"\x01", LARGE + masked_checksum(LARGE)]
)
def test_crafted_files_take_no_long_time(path, part):
    path.write_bytes(RECORDS[0] + bytes([1]) * 12 + part * (2 * MOST_BYTES // len(part)))
    begin = time.perf_counter()
    damages: list[str] = []
    assert numbers(path, damages) == [0]
    assert time.perf_counter() - begin < 20
    assert len(damages) == 1


def test_many_damaged_places_end_the_file(path):
    broken = bytearray(record(b""))
    broken[-1] ^= 1
    path.write_bytes(RECORDS[0] + bytes(broken) * (MOST_PLACES + 5) + RECORDS[1])
    damages: list[str] = []
    assert numbers(path, damages) == [0]
    assert f"at {MOST_PLACES - 1} places" in damages[0]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return gd.train(*WORDS, "epochs=20", folder=tmp_path_factory.mktemp("stored") / "run").folder


@pytest.fixture
def run(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "run")
    return tmp_path / "run"


def epochs_of(run):
    return RunFolder(run).read_curves()["objective/train"][0].tolist()


def resumed(run, epochs, capsys):
    """Resume a run; return its warnings."""
    assert main(["resume", str(run), f"epochs={epochs}"]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]


def test_a_resume_keeps_the_events_beside_a_damaged_one_and_tells(run, capsys):
    (path,) = run.glob("events*")
    content = bytearray(path.read_bytes())
    at = next(
        place
        for place, _, event in _placed(path)
        if any(value.tag == "lr" and event.step == 7 for value in event.summary.value)
    )
    content[at + 13] ^= 1
    path.write_bytes(content)
    damage, gap = resumed(run, 30, capsys)
    assert f"is damaged at 1 place, byte {at:,}" in damage
    assert "the curves lack epochs 7: the event file was damaged" in gap
    assert epochs_of(run) == list(range(31))  # of another tag
    assert resumed(run, 31, capsys) == []  # it is told once


def _placed(path):
    at = 0
    for content, event in read_records(path):
        yield at, content, event
        at += len(record(content))


@pytest.mark.parametrize(
    ("cut", "lost"), [("removed", "0 to 20"), ("empty", "0 to 20"), ("cut short", "8 to 20")]
)
def test_a_resume_tells_of_the_epochs_that_are_lost(run, cut, lost, capsys):
    (path,) = run.glob("events*")
    if cut == "removed":
        path.unlink()
    else:
        place = next(place for place, _, e in _placed(path) if e.step == 8) if cut != "empty" else 0
        path.write_bytes(path.read_bytes()[:place])
    (gap,) = resumed(run, 30, capsys)
    assert f"the curves lack epochs {lost}: the event file was damaged" in gap
    assert epochs_of(run)[-10:] == list(range(21, 31))
    assert resumed(run, 31, capsys) == []


@pytest.mark.parametrize(
    "change",
    [
        ["logging.max_points=4"], ["logging.max_points=7", "evaluation.every=2"],
        ["evaluation.every=3"], ["logging.tensorboard=false"],
    ],
)  # fmt: skip
def test_thinner_curves_and_pauses_are_no_loss(run, change, capsys):
    assert main(["resume", str(run), "epochs=30", *change]) == 0
    back = ["logging.max_points=1000", "logging.tensorboard=true", "evaluation.every=1"]
    for epochs in (40, 1200, 1300):
        assert main(["resume", str(run), f"epochs={epochs}", *back]) == 0
    assert "the curves lack" not in capsys.readouterr().out


def test_curves_that_begin_with_a_resume_are_no_loss(tmp_path, capsys):
    run = gd.train(*WORDS, "epochs=9", "logging.tensorboard=false", folder=tmp_path / "r").folder
    for epochs in (15, 25):
        assert main(["resume", str(run), f"epochs={epochs}", "logging.tensorboard=true"]) == 0
    assert "the curves lack" not in capsys.readouterr().out
    assert read_curves(run.glob("events*"))["lr"][0].tolist() == list(range(9, 26))
