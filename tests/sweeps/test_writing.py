"""Files of ended runs, written by several threads: told in order, and nothing lost."""

from __future__ import annotations

import threading
import time

import pytest

from gdframe.runs.files import NotWrittenError
from gdframe.sweeps.executing.write_pool import MOST_WAITING, Writing


def recorded() -> tuple[list, list, Writing]:
    done: list = []
    failed: list = []
    writing: Writing = Writing(
        lambda key, content: done.append((key, content)),
        lambda key, error: failed.append((key, str(error))),
    )
    return done, failed, writing


def test_what_is_written_is_told_in_order():
    done, failed, writing = recorded()
    with writing:
        for number in range(20):
            writing.submit(number, lambda n=number: (time.sleep(0.002 * (n % 3)), n * n)[1])
    assert done == [(n, n * n) for n in range(20)]
    assert failed == []


def test_at_most_so_many_are_on_the_way():
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


def test_one_that_raises_harms_no_other():
    done, failed, writing = recorded()
    with writing:
        writing.submit("bad", lambda: 1 / 0)
        writing.submit("good", lambda: 1)
    assert (done, failed) == ([("good", 1)], [("bad", "division by zero")])


def full() -> None:
    raise NotWrittenError(28, "No space left on device")


def queue(writing: Writing, *functions) -> None:
    """Have functions called without looking whether earlier ones are done."""
    for function in functions:
        writing._waiting.append((function.__name__, writing._pool.submit(function)))


def good() -> int:
    return 1


def test_a_full_disk_is_raised_once_the_others_are_told():
    done, failed, writing = recorded()

    def end() -> None:
        with writing:
            queue(writing, full, good)

    with pytest.raises(NotWrittenError, match="No space left"):
        end()
    assert (done, failed) == ([("good", 1)], [])


def test_an_error_of_the_training_is_not_hidden_by_one_of_the_files():
    _, _, writing = recorded()

    def end() -> None:
        with writing:
            queue(writing, full)
            raise ValueError("training")

    with pytest.raises(ValueError, match="training"):
        end()
