"""Writes the files of ended runs, several at a time: creating files is the slow part."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from gdframe.runs.files import NotWrittenError

THREADS = 4

MOST_WAITING = 64
"""Most runs whose files wait to be written: a power cut or a kill loses no more."""

Key = TypeVar("Key")
Content = TypeVar("Content")


class Writing(Generic[Key, Content]):
    """Calls functions on threads, and reports their results in the order of submission.

    Leaving the context waits for all functions, also after an error.

    Args:
        done: called with the key of a function and its result.
        failed: called with the key of a function and its error; NotWrittenError is raised instead.
    """

    def __init__(
        self, done: Callable[[Key, Content], None], failed: Callable[[Key, Exception], None]
    ) -> None:
        self._done, self._failed = done, failed
        self._pool = ThreadPoolExecutor(THREADS)
        self._waiting: deque[tuple[Key, Future[Content]]] = deque()

    def submit(self, key: Key, write: Callable[[], Content]) -> None:
        """Call a function on a thread.

        Raises:
            NotWrittenError: an earlier function raised it.
        """
        self._waiting.append((key, self._pool.submit(write)))
        while self._waiting and (len(self._waiting) > MOST_WAITING or self._waiting[0][1].done()):
            self._finish_first()

    def _finish_first(self) -> None:
        """Wait for the oldest function and report its result."""
        key, future = self._waiting.popleft()
        try:
            content = future.result()
        except NotWrittenError:
            raise
        except Exception as error:
            self._failed(key, error)
        else:
            self._done(key, content)

    def __enter__(self) -> Writing[Key, Content]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        problems: list[NotWrittenError] = []
        while self._waiting:
            try:
                self._finish_first()
            except NotWrittenError as problem:
                problems.append(problem)
        self._pool.shutdown()
        if problems and error is None:
            raise problems[0]
