"""Runs gdframe's command line in processes that are forked from one that has imported it.

Importing torch takes longer than most runs that tests ask for.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import runpy
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import gdframe

LIMIT = 120.0
"""Seconds that a command may take."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["preloaded", "command"])


@cache
def _start_fork_server() -> None:
    before = os.environ.get("PYTHONPATH")
    own = str(Path(__file__).parent)  # it has no other way to find them
    os.environ["PYTHONPATH"] = own if before is None else os.pathsep.join([own, before])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def call(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Run a command line in ``folder``, with what it prints in files; return its exit code.

    Args:
        arguments: of the command line.
        folder: where it runs.
        environment: variables of its own, for which Python is started anew.
    """
    files = [folder.parent / f"{folder.name}.{end}" for end in ("out", "err")]
    if environment:
        with files[0].open("w") as out, files[1].open("w") as err:
            return subprocess.run(
                [sys.executable, "-m", "gdframe", *arguments],
                cwd=folder, env={**os.environ, **environment}, stdout=out, stderr=err,
                timeout=LIMIT,
            ).returncode  # fmt: skip
    return fork(command_line, arguments, folder)


def call_script(script: Path, folder: Path) -> int:
    """Run a Python script in ``folder``, as ``call`` runs a command line; return its exit code.

    A UserWarning is an error.
    """
    return fork(_script, [str(script)], folder)


def fork(
    run: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    folder: Path,
    limit: float = LIMIT,
) -> int:
    """Call a function of a command line in a forked process in ``folder``; return its exit code.

    Raises:
        TimeoutError: it took longer than ``limit`` seconds.
    """
    process = begin(run, arguments, folder)
    process.join(limit)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{' '.join(arguments)} took more than {limit:g} s")
    return process.exitcode


def begin(run: Callable[[Sequence[str]], int], arguments: Sequence[str], folder: Path) -> Any:
    """Call a function of a command line in a forked process, and do not wait; return the process.

    Its output is in files, as that of ``fork``.
    """
    files = [folder.parent / f"{folder.name}.{end}" for end in ("out", "err")]
    for file in files:
        file.write_text("")
    _start_fork_server()
    process = _processes.Process(
        target=_run, args=(run, arguments, folder, dict(os.environ), files)
    )
    process.start()
    return process


def start(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command line in ``folder`` and do not wait; its output is in pipes.

    Args:
        folder: where it runs.
        arguments: of the command line.
        options: of ``subprocess.Popen``.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "gdframe", *arguments],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when a condition is true.

    Raises:
        TimeoutError: the condition was not true for ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition was not true for {seconds:g} s")
        time.sleep(0.01)


@contextmanager
def locked_elsewhere(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a folder in another process."""
    code = f"""
import sys
from gdframe.runs.folder import Folder
with Folder(sys.argv[1]).lock(shared={shared}):
    print("locked", flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield
    finally:
        holder.communicate("")


def summary_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the only ``summary.csv`` at or below ``folder``."""
    (summary,) = folder.rglob("summary.csv")
    with summary.open() as file:
        return list(csv.DictReader(file))


def output(folder: Path) -> tuple[str, str]:
    """Return what the last call in ``folder`` printed to standard output and standard error."""
    names = f"{folder.name}.out", f"{folder.name}.err"
    out, err = ((folder.parent / name).read_text() for name in names)
    return out, err


def command_line(arguments: Sequence[str]) -> int:
    sys.argv = [str(Path(gdframe.__file__).with_name("__main__.py"))]
    from gdframe.cli.main import main

    return main(arguments)


def _script(arguments: Sequence[str]) -> int:
    warnings.simplefilter("error", UserWarning)
    sys.argv = list(arguments)
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


def _run(
    run: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    files: Sequence[Path],
) -> None:
    assert "preloaded" in sys.modules  # the fork server is silent about imports that fail
    for descriptor, file in enumerate(files, start=1):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    try:
        code = run(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # as the interpreter would
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
