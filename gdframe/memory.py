"""Measures and limits the memory that this process may still allocate."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KINDS = {
    "": ("", "memory.max", "memory.current", ""),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
"""By controller of a control group, of version 2 and 1: where it is mounted, its files with the
limit and with what is used, and what the names of its statistics begin with."""

SPARE = 1 << 30
"""Bytes of address space that threads and allocators reserve and do not use."""


def free_memory() -> float:
    """Return the bytes that this process may still allocate; infinite if the system cannot say."""
    free = math.inf
    with suppress(OSError, ValueError, AttributeError):  # ValueError: the system has no such name
        free = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, KeyError):  # another system than Linux
        free = 1024.0 * _numbers(Path("/proc/meminfo"))["MemAvailable:"]
        groups = Path("/proc/self/cgroup").read_text()
        free = min(free, free_in_groups(groups, Path("/sys/fs/cgroup")))
    with suppress(ImportError, OSError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free = min(free, max(0, limit - _address_space()))
    return free


@contextmanager
def limited_memory(most: float) -> Iterator[None]:
    """Let this process allocate about that many bytes at most; more raises, as MemoryError does.

    It is for code of others that measures what it allocates in part only, in one thread at a time.
    Systems other than Linux have no such limit.
    """
    try:
        import resource

        space = _address_space()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [v for v in (soft, hard) if v != resource.RLIM_INFINITY]
    wanted = int(min(space + min(most, 1e15) + SPARE, *limits, 1e16))
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    """Return the bytes of this process's address space, used or not."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def free_in_groups(membership: str, root: Path) -> float:
    """Return the bytes that a process may still allocate within the limits of its control groups.

    Each group that contains the process may have a limit. What caches of files take is free.

    Args:
        membership: content of ``/proc/self/cgroup``.
        root: where control groups are mounted.
    """
    free = math.inf
    for line in membership.splitlines():
        _, controllers, group = line.split(":", 2)
        kind = "memory" if "memory" in controllers.split(",") else controllers
        if kind not in KINDS:
            continue
        mount, limit, used, prefix = KINDS[kind]
        innermost = root / mount / group.strip("/")
        for folder in (innermost, *innermost.parents):
            with suppress(OSError, ValueError):  # ValueError: "max" is no limit
                most, in_use = (int((folder / name).read_text()) for name in (limit, used))
                numbers = _numbers(folder / "memory.stat")
                cached = sum(numbers.get(f"{prefix}{age}active_file", 0) for age in ("", "in"))
                free = min(free, most - in_use + cached)
    return max(0.0, free)


def _numbers(path: Path) -> dict[str, int]:
    """Return the numbers in a file of the kernel by the word before each."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {words[0]: int(words[1]) for words in lines}
