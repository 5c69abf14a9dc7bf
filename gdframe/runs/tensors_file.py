"""Opens files of tensors (safetensors), which may be damaged or hostile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open

from gdframe.errors import require_memory
from gdframe.runs.folder import EXPANSION

MOST_TEXT = 1 << 25
"""Most characters of the texts in a header."""


@contextmanager
def open_tensors(path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """Open a file of tensors, and give its texts by key as well.

    Raises:
        UserError: memory does not suffice for its tensors, or for what its header becomes.
        SafetensorError: the file is damaged.
        OSError: it cannot be read.
        ValueError: its texts are too long to parse.
    """
    with path.open("rb") as file:  # its errors tell more than those of safetensors
        header = int.from_bytes(file.read(8), "little")
    size = path.stat().st_size
    require_memory(str(path), size + EXPANSION * min(header, size), "free some memory")
    with safe_open(path, framework="pt") as tensors:
        texts = tensors.metadata() or {}
        count = sum(map(len, texts.values()))
        if count > MOST_TEXT:
            raise ValueError(f"its header has {count:,} characters; at most {MOST_TEXT:,} are read")
        yield tensors, texts
