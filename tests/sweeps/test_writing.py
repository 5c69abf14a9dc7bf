"""Files of ended runs, written by several threads and reported in order, and their limits."""

from __future__ import annotations

import resource
import threading
import time

import numpy as np
import pytest

from gdframe.runs.files import NotWrittenError
from gdframe.runs.spreadsheet import cell
from gdframe.sweeps.executing.train_sweep import allow_files
from gdframe.sweeps.executing.write_pool import MOST_WAITING, Writing
from gdframe.sweeps.writing.mean_curves import mean


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows(monkeypatch):
    limits = []

    def setrlimit(kind, values):
        limits.append(values[0])
        if values[0] > 10_240:
            raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    allow_files(50_000)
    allow_files(1_000)
    assert limits == [50_256, 10_240, 1_256]


@pytest.mark.parametrize("first", "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
def test_no_cell_of_a_table_begins_like_a_formula(first):
    assert cell(f"{first}SUM(A1)") == f"'{first}SUM(A1)"
    assert cell(f"1{first}SUM(A1)") == f"1{first}SUM(A1)"


def recorded() -> tuple[list, list, Writing]:
    done: list = []
    failed: list = []
    writing: Writing = Writing(
        lambda key, content: done.append((key, content)),
        lambda key, error: failed.append((key, str(error))),
    )
    return done, failed, writing


def test_writes_are_reported_in_order():
    done, failed, writing = recorded()
    with writing:
        for number in range(20):
            writing.submit(number, lambda n=number: (time.sleep(0.002 * (n % 3)), n * n)[1])
    assert done == [(n, n * n) for n in range(20)]
    assert failed == []


def test_the_number_of_pending_writes_is_limited():
    done, _, writing = recorded()
    gate = threading.Event()
    with writing:
        for number in range(MOST_WAITING):
            writing.submit(number, gate.wait)
        assert done == []
        threading.Timer(0.05, gate.set).start()
        writing.submit(MOST_WAITING, gate.wait)  # waits for the first
        assert done[0] == (0, True)
    assert len(done) == MOST_WAITING + 1


def test_a_write_that_raises_does_not_affect_others():
    done, failed, writing = recorded()
    with writing:
        writing.submit("bad", lambda: 1 / 0)
        writing.submit("good", lambda: 1)
    assert (done, failed) == ([("good", 1)], [("bad", "division by zero")])


def test_a_mean_has_the_columns_of_all_runs():
    short, long = np.arange(2.0), np.arange(3.0)
    a = {"epochs/epoch": long, "epochs/a": long, "epochs/b": long}
    means = mean([a, {"epochs/epoch": short, "epochs/a": short, "epochs/c": short}])
    assert {name: len(values) for name, values in means.items()} == {
        "epochs/epoch": 2, "epochs/a": 2,
    }  # fmt: skip


def full() -> None:
    raise NotWrittenError(28, "No space left on device")


def queue(writing: Writing, *functions) -> None:
    """Submit functions without waiting for earlier ones."""
    for function in functions:
        writing._waiting.append((function.__name__, writing._pool.submit(function)))


def good() -> int:
    return 1


def test_a_full_disk_is_raised_after_the_other_writes_are_reported():
    done, failed, writing = recorded()

    def end() -> None:
        with writing:
            queue(writing, full, good)

    with pytest.raises(NotWrittenError, match="No space left"):
        end()
    assert (done, failed) == ([("good", 1)], [])


def test_a_training_error_is_not_hidden_by_a_write_error():
    _, _, writing = recorded()

    def end() -> None:
        with writing:
            queue(writing, full)
            raise ValueError("training")

    with pytest.raises(ValueError, match="training"):
        end()
