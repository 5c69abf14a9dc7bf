"""Free memory: the smallest of what the system, limits and control groups leave."""

from __future__ import annotations

import math
import sys

import pytest

from gdframe.errors import UserError, require_memory
from gdframe.memory import free_in_groups, free_memory, limited_memory

VERSION_2 = ("memory.max", "memory.current", "")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")


def group(folder, names, most, used, cached=0):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{most}\n")
    (folder / names[1]).write_text(f"{used}\n")
    files = f"{names[2]}inactive_file {cached}\n{names[2]}active_file 0\nanon 5\n"
    (folder / "memory.stat").write_text(files)


@pytest.mark.parametrize(
    ("line", "mount", "names"),
    [
        ("0::{}", "", VERSION_2),
        ("4:memory:{}", "memory", VERSION_1),
        ("4:hugetlb,memory:{}", "memory", VERSION_1),
    ],
)
def test_each_group_around_the_process_limits_it(tmp_path, line, mount, names):
    root = tmp_path / mount
    inner = f"9:name=systemd:/\n{line.format('/outer/inner')}\n"
    assert free_in_groups(inner, tmp_path) == math.inf
    group(root / "outer" / "inner", names, "max", 10)
    assert free_in_groups(inner, tmp_path) == math.inf
    group(root / "outer", names, 1000, 400)
    assert free_in_groups(inner, tmp_path) == 600
    group(root / "outer" / "inner", names, 500, 450, cached=100)
    assert free_in_groups(inner, tmp_path) == 150
    group(root, names, 700, 800)
    assert free_in_groups(inner, tmp_path) == 0
    group(root / "other", names, 1, 1)
    assert free_in_groups(line.format("/host/only"), tmp_path) == 0  # the mount is its own group


def test_what_does_not_fit_is_refused_with_both_numbers(monkeypatch):
    assert 0 < free_memory() < math.inf
    monkeypatch.setattr("gdframe.errors.free_memory", lambda: 2e9)
    require_memory("x", 1e9)
    with pytest.raises(UserError, match=r"x: needs about 3 GB, and 2 GB are free; do less"):
        require_memory("x", 3e9, "do less")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory")
def test_memory_is_limited_for_a_while_only():
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with limited_memory(1e8):
        bytearray(1 << 26)
        with pytest.raises(MemoryError):
            bytearray(1 << 32)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
