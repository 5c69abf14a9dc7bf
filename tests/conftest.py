"""Fixtures of all tests: one thread, and the command line as a user runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import command
import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("gdframe", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("gdframe")
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of processes that tests start


@dataclass(frozen=True)
class Finished:
    """The end of a command line: its exit code, its output and the runs below its folder."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def runs(self) -> list[Path]:
        folders = sorted(path.parent for path in self.folder.rglob(".hydra"))
        return [run for run in folders if "checkpoint" not in run.parts]

    @property
    def run(self) -> Path:
        (run,) = self.runs
        return run

    @property
    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.run / "result.json").read_text())
        return content


@pytest.fixture
def gdframe(tmp_path: Path) -> Callable[..., Finished]:
    """Run gdframe's command line in an empty folder, in a process of its own."""

    def run(*arguments: str, cwd: Path | None = None, **environment: str) -> Finished:
        folder = cwd or tmp_path
        code = command.call(arguments, folder, environment)
        return Finished(code, *command.output(folder), folder)

    return run


@pytest.fixture
def bad_rule(tmp_path: Path) -> str:
    """Write a plugin whose optimizer ``bad`` raises at its first step; return the file's name."""
    (tmp_path / "bad.py").write_text(
        "from gdframe import OPTIMIZERS, GD\n"
        "@OPTIMIZERS.register('bad')\n"
        "class Bad(GD):\n"
        "    def __init__(self, params, lr): super().__init__(params, lr)\n"
        "    def step(self, closure=None): raise RuntimeError('out of luck')\n"
    )
    return "bad.py"
