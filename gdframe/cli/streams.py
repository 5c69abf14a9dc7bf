"""Standard output and error that may be closed, broken, or unable to show a character."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Error numbers of a reader that has closed its end, and of a terminal that is closed."""


class _Patient(io.FileIO):
    """A stream whose output is dropped once nobody can read it; a run must not end for that."""

    def write(self, content: object, /) -> int:
        try:
            return super().write(content)  # type: ignore[arg-type]
        except OSError as error:
            if error.errno not in GONE:
                error.filename = "standard error" if self.fileno() == 2 else "standard output"
                raise
            _fill(self.fileno())
            return super().write(content)  # type: ignore[arg-type]


@contextmanager
def patient_streams() -> Iterator[None]:
    """Replace the process's own streams by streams that fail for a full disk only.

    Streams that a caller has replaced remain.
    """
    before = sys.stdout, sys.stderr
    for number in range(3):  # else the next file would take a closed stream's number
        try:
            os.fstat(number)
        except OSError:
            _fill(number)
    shows_errors, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        if sys.stdout is sys.__stdout__:
            sys.stdout = _stream(1, sys.__stdout__, "replace")
        if sys.stderr is sys.__stderr__:
            sys.stderr = _stream(2, sys.__stderr__, "backslashreplace")
        yield
    finally:
        logging.raiseExceptions = shows_errors
        for stream in {sys.stdout, sys.stderr} - set(before):
            with suppress(OSError):
                stream.flush()
        sys.stdout, sys.stderr = before


def _stream(number: int, like: io.TextIOWrapper | None, errors: str) -> io.TextIOWrapper:
    """Return a text stream that writes to a file descriptor."""
    if like is not None:
        with suppress(OSError):
            like.flush()
    raw = _Patient(number, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding if like else "utf-8",
        errors=errors,
        line_buffering=number == 2 or raw.isatty(),
    )


def _fill(number: int) -> None:
    """Let a file descriptor write to nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
