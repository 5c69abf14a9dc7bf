"""Files of text as UTF-8 with plain line ends, decompressed, and refused when they fill memory."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np

from gdframe.data.reading.compressed import text_stream
from gdframe.errors import UserError, bad_value, first_line
from gdframe.memory import free_memory

COPIES = 3
"""Copies of a file's numbers in memory, of 8 bytes each, while they are encoded."""

FEWER = "give a file with fewer rows or columns"

BLOCK = 1 << 20
"""Bytes of a file that are looked through at a time."""

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""First bytes that tell an encoding; those of UTF-32 begin with those of UTF-16."""

MOST_BLANK = 10_000_000
"""Lines from which on a file that holds hardly more than line ends is refused: a few compressed
bytes may stand for as many as take minutes."""

MOST_CONTROLS = 0.05
"""Largest share of control characters in the first bytes of a text."""


@dataclass(frozen=True)
class TextFile:
    """A file of UTF-8 text with plain line ends: the user's own, or a copy of it.

    Args:
        path: of the text.
        encoding: of the user's file.
        notes: what was done to the text, a sentence each.
        lines: number of line ends.
    """

    path: Path
    encoding: str
    notes: tuple[str, ...]
    lines: int


NOT_OF_FILES = ("punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined")
"""Codecs of Python for parts of names and of programs; some take quadratic time."""


@dataclass
class _Look:
    """The facts that a pass over a file's bytes collects."""

    is_utf8: bool = True
    size: int = 0
    lines: int = 0
    has_plain_ends: bool = True
    has_control_range: bool = False


@contextmanager
def text_file(file: Path, encoding: str | None = None) -> Iterator[TextFile]:
    """Open a file of text for the readers of tables.

    Args:
        file: the file, compressed or not.
        encoding: of the text; by default UTF-8, else as its bytes tell, else Windows-1252.

    Raises:
        UserError: the file is no text, is not in the encoding, or does not fit in memory.
    """
    if encoding is not None:
        try:
            "".encode(encoding)  # refuses codecs that give no text, such as zlib
            if codecs.lookup(encoding).name.replace("-", "_") in NOT_OF_FILES:
                raise ValueError(encoding)
        except (LookupError, ValueError) as error:
            raise bad_value(
                f"encoding={encoding}", "an encoding, such as utf-8, latin-1 or utf-16"
            ) from error
    if encoding is not None and codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8"
    with text_stream(file) as (stream, how):
        head = stream.read(1 << 16)
        used = encoding or _encoding_by_head(file, head)
        look = _look_through(file, head, stream, used)
    if look.lines > MOST_BLANK and look.size < 1.5 * look.lines:  # a value and its line end take 2
        raise UserError(f"{file}: most of its {look.lines:,} lines are blank: remove them")
    if used is None:
        used = "utf-8" if look.is_utf8 else "cp1252" if not look.has_control_range else "latin-1"
    notes = [f"decompressed ({how})"] if how else []
    if used not in ("utf-8", "utf-8-sig") and encoding is None:
        notes.append(f"not UTF-8: read as {used}; data.encoding=NAME for another encoding")
    if used == "utf-8" and look.is_utf8 and look.has_plain_ends and not how:
        yield TextFile(file, used, tuple(notes), look.lines)
        return
    with TemporaryDirectory(prefix="gdframe-") as folder:
        copy = Path(folder) / "table.txt"
        _write_copy(file, copy, used)
        yield TextFile(copy, used, tuple(notes), look.lines)


def _encoding_by_head(file: Path, head: bytes) -> str | None:
    """Return the encoding that the first bytes tell, or None.

    Raises:
        UserError: the bytes are no text.
    """
    if head[257:262] == b"ustar":
        raise UserError(
            f"{file}: is a tar archive, which may hold several files: unpack the one to read"
        )
    for mark, name in BOMS.items():
        if head.startswith(mark):
            return name
    for name in ("utf-16-le", "utf-16-be"):
        if head.count(0) > 0.2 * len(head) and _is_text(head[: len(head) & ~1], name):
            return name
    controls = len(re.findall(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head))
    if b"\x00" in head or controls > MOST_CONTROLS * max(1, len(head)):
        start = head[:16].decode("latin-1")
        raise UserError(
            f"{file}: is no text and no format that is known (it begins with {start!r}): give "
            "CSV, Parquet, Feather, JSON, ARFF, NPZ or Excel"
        )
    return None


def _is_text(head: bytes, encoding: str) -> bool:
    """Return whether bytes are text in an encoding: hardly a character of it is not printable."""
    text = head.decode(encoding, errors="replace")
    odd = sum(not (c.isprintable() or c in "\t\r\n") or c == "\ufffd" for c in text)
    return odd <= MOST_CONTROLS * len(text)


def _look_through(file: Path, head: bytes, stream: IO[bytes], encoding: str | None) -> _Look:
    look, free = _Look(), free_memory()
    decoder = codecs.getincrementaldecoder("utf-8")()
    values = crlf = feeds = returns = 0
    block, last = head, b""
    separators = [mark for mark in b",;\t|" if mark in head] or [ord(",")]
    while block:
        look.size += len(block)
        joined = last + block
        numbers = np.frombuffer(block, dtype=np.uint8)
        ends = int(np.count_nonzero(numbers == ord("\n")))
        has_returns = b"\r" in block
        crlf += joined.count(b"\r\n") if has_returns or last else 0
        returns, feeds = returns + block.count(b"\r") * has_returns, feeds + ends
        last = block[-1:] if block[-1:] == b"\r" else b""
        values += max(int(np.count_nonzero(numbers == mark)) for mark in separators)
        values += max(ends, block.count(b"\r") if has_returns else 0)
        if max(look.size, 8 * COPIES * values) > free:
            raise UserError(
                f"{file}: needs more than the {free / 1e9:,.3g} GB of memory that are free; {FEWER}"
            )
        if (
            look.is_utf8
            and encoding in (None, "utf-8")
            and not (block.isascii() and not decoder.getstate()[0])
        ):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                look.is_utf8 = False
        if not look.is_utf8:
            look.has_control_range |= bool(re.search(rb"[\x81\x8d\x8f\x90\x9d]", block))
        block = stream.read(BLOCK)
    if look.is_utf8 and encoding in (None, "utf-8"):
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            look.is_utf8 = False
    look.lines = feeds + returns
    look.has_plain_ends = returns == 0 or (returns == crlf and feeds == crlf)
    return look


def _write_copy(file: Path, copy: Path, encoding: str) -> None:
    """Write the text of a file as UTF-8 with line feeds as line ends."""
    with text_stream(file) as (stream, _), copy.open("w", encoding="utf-8", newline="") as out:
        reader = io.TextIOWrapper(stream, encoding=encoding, newline=None)
        try:
            while block := reader.read(BLOCK):
                out.write(block.replace("\x00", ""))
        except UnicodeError as error:
            raise UserError(
                f"{file}: is not in the encoding {encoding} ({first_line(error)}): set "
                "data.encoding=NAME, such as latin-1"
            ) from error
        finally:
            reader.detach()
