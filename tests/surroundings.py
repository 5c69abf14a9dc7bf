"""Runs command lines on small disks, and without the rights of the superuser."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from command import command_line

CLONE_NEWNS, CLONE_NEWUSER, MS_REMOUNT = 0x20000, 0x10000000, 32
"""Of Linux's ``unshare`` and ``mount``."""

LEFT = "left"
"""Name of the folder beside the working folder with what a command line left on a small disk."""


@dataclass(frozen=True)
class OnSmallDisk:
    """Runs a command line in its working folder, on a disk that has little space left.

    Args:
        free: bytes that are free, besides what is in the folder; None: only find out whether
            disks can be mounted here.
    """

    free: int | None

    def __call__(self, arguments: Sequence[str]) -> int:
        folder = Path.cwd()
        start = folder.with_name("start")
        shutil.copytree(folder, start)
        _mount(folder)
        if self.free is None:
            return 0
        os.chdir(folder)
        shutil.copytree(start, folder, dirs_exist_ok=True)
        disk = os.statvfs(folder)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        size = max(used + self.free, disk.f_frsize)  # 0 is no limit
        _check(_libc().mount(None, bytes(folder), None, MS_REMOUNT, _size(size)))
        try:
            return command_line(arguments)
        finally:
            shutil.copytree(folder, folder.with_name(LEFT))


def _mount(folder: Path) -> None:
    """Mount an empty disk that only this process sees."""
    user, group = os.geteuid(), os.getegid()
    _check(_libc().unshare(CLONE_NEWNS | CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _check(_libc().mount(b"tmpfs", bytes(folder), b"tmpfs", 0, _size(1 << 30)))


def _size(size: int) -> bytes:
    return f"size={size}".encode()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(code: int) -> None:
    if code:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def without_privileges(arguments: Sequence[str]) -> int:
    """Run a command line for which the permissions of files hold, also as the superuser."""
    if os.geteuid() == 0:
        version = (ctypes.c_uint32 * 2)(0x20080522, 0)
        _check(_libc().capset(version, (ctypes.c_uint32 * 6)()))  # no capability at all
    return command_line(arguments)
