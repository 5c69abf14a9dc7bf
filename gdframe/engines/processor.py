"""Reads what Linux lists about the processor."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path


@cache
def processor_facts() -> dict[str, str]:
    """Return what Linux lists about the first processor; on other systems its name alone."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {"vendor_id": platform.processor()}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
