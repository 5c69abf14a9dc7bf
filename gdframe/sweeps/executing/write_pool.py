"""Writes what ended runs leave, several at a time: making a file takes longer than filling it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from gdframe.runs.files import NotWrittenError

THREADS = 4

MOST_WAITING = 64
"""Runs whose files are being written: what a power cut or a kill loses at most."""

Key = TypeVar("Key")
Content = TypeVar("Content")


class Writing(Generic[Key, Content]):
    """Calls functions on threads, and says of each when it is done, in the order they came in.

    Leaving the context waits for all, also where an error ends it.

    Args:
        done: called with the key of a function and what it returned.
        failed: called with the key of a function and what it raised; a NotWrittenError is raised.
    """

    def __init__(
        self, done: Callable[[Key, Content], None], failed: Callable[[Key, Exception], None]
    ) -> None:
        self._done, self._failed = done, failed
        self._pool = ThreadPoolExecutor(THREADS)
        self._waiting: deque[tuple[Key, Future[Content]]] = deque()

    def submit(self, key: Key, write: Callable[[], Content]) -> None:
        """Have a function called.

        Raises:
            NotWrittenError: a function before it raised one.
        """
        self._waiting.append((key, self._pool.submit(write)))
        while self._waiting and (len(self._waiting) > MOST_WAITING or self._waiting[0][1].done()):
            self._take()

    def _take(self) -> None:
        """Wait for the function that came in first."""
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
                self._take()
            except NotWrittenError as problem:
                problems.append(problem)
        self._pool.shutdown()
        if problems and error is None:
            raise problems[0]
