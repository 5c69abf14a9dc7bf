"""DuckDB, which parses text and runs queries: without network, extensions or files to write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from gdframe.memory import free_memory

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

LEAST_MEMORY = 1 << 28
"""Least bytes that DuckDB may use; it cannot start with much less."""

SHARE_OF_MEMORY = 0.8
"""Share of the free memory that DuckDB may use."""


@contextmanager
def database(files: Sequence[str | Path] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that reads files and nothing else.

    Args:
        files: those that may be read, and patterns of names that may be looked up; None for every
            file that the user may read.
    """
    import duckdb  # which takes 50 ms

    free = min(free_memory(), 1e15)
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
        "threads": str(_threads()),
        "memory_limit": f"{max(LEAST_MEMORY, int(SHARE_OF_MEMORY * free)) >> 20}MiB",
        "temp_directory": "",
        "preserve_insertion_order": "true",
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        if files is not None:
            forms = (form(str(file)) for file in files for form in (literal, file_literal))
            listed = ", ".join(dict.fromkeys(forms))
            connection.execute(f"SET allowed_paths=[{listed}]")
            connection.execute("SET enable_external_access=false")
        connection.execute("SET TimeZone='UTC'")
        connection.execute("SET lock_configuration=true")
        yield connection
    finally:
        connection.close()


def waiting_for(connection: duckdb.DuckDBPyConnection, task: Callable[[], T]) -> T:
    """Return the result of a task that uses a database; Ctrl-C ends it within a moment.

    DuckDB does not look for signals while it computes the next rows, so the task runs in another
    thread. A single value that takes long to compute, such as a text of gigabytes, is finished
    first.
    """
    started, ended = Event(), Event()

    def run() -> T:
        started.set()
        try:
            return task()
        finally:
            ended.set()

    executor = ThreadPoolExecutor(1)
    try:
        return executor.submit(run).result()
    except KeyboardInterrupt:  # also while the task is handed over
        executor.shutdown(wait=False, cancel_futures=True)
        while started.is_set() and not ended.wait(0.1):  # an interrupt between statements is lost
            connection.interrupt()
        raise
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _threads() -> int:
    """Return the number of threads, which users set as for other libraries."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdigit() and int(named) else min(8, os.cpu_count() or 1)


def literal(text: str) -> str:
    """Return text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def file_literal(path: str) -> str:
    """Return the path of a file as a literal; DuckDB takes no character of it for a pattern."""
    return literal("".join(f"[{c}]" if c in "*?[" else c for c in path))
