"""Checkpoint files: written atomically, verified when read, without pickle."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gdframe.errors import UserError
from gdframe.runs.files import write_atomically
from gdframe.runs.folder import Folder

FORMAT, READABLE = 2, (1, 2)
"""Versions of the checkpoint format: the one to write, and those that can be read."""

_NAME = re.compile(r"step-(\d{12})\.safetensors")


@dataclass(frozen=True)
class Capture:
    """The complete state of a run.

    Args:
        tensors: parameters, buffers, optimizer state and history, by name.
        facts: plain values: counters and the memory of the stopping rules.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def history(self) -> dict[str, NDArray[np.float64]]:
        """Return the columns of the history, named as in ``History.to_arrays``."""
        return {
            name.removeprefix("history."): values.numpy()
            for name, values in self.tensors.items()
            if name.startswith("history.")
        }


def save_checkpoint(folder: Path, capture: Capture, *, keep: int) -> Path:
    """Write a checkpoint into ``folder`` and remove all but the newest ``keep``.

    Raises:
        OSError: the disk is full or not writable; earlier checkpoints remain.
    """
    path = folder / f"step-{capture.facts['step']:012d}.safetensors"
    facts = json.dumps({"format": FORMAT, **capture.facts})
    metadata = {"facts": facts, "digest": _digest(capture.tensors, facts)}
    write_atomically(path, safetensors.torch.save(capture.tensors, metadata))
    for old in _checkpoints(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> tuple[Capture | None, list[str]]:
    """Read the newest undamaged checkpoint of ``folder``.

    Returns:
        The checkpoint, or None if there is none, and a message for each newer, damaged one.

    Raises:
        UserError: the checkpoint has an unknown format, or all checkpoints are damaged.
    """
    problems: list[str] = []
    paths = _checkpoints(folder)
    for path in paths:
        try:
            return _read(path), problems
        except (SafetensorError, OSError, KeyError, json.JSONDecodeError, _DamagedError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            problems.append(f"checkpoint {path.name} is damaged ({reason})")
    if paths:
        raise UserError(f"{folder}: all checkpoints are damaged: {'; '.join(problems)}")
    return None, problems


class _DamagedError(Exception):
    pass


def _read(path: Path) -> Capture:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        facts = json.loads(metadata["facts"])
        if facts.get("format") not in READABLE:
            raise UserError(
                f"{path}: has checkpoint format {facts.get('format')}, but this version of gdframe "
                f"reads formats {READABLE[0]} to {FORMAT}; resume with the version that wrote it"
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if _digest(tensors, metadata["facts"]) != metadata["digest"]:
        raise _DamagedError("its content does not match its digest")
    return Capture(tensors, facts)


def _digest(tensors: dict[str, Tensor], facts: str) -> str:
    digest = hashlib.blake2b(facts.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, newest first."""
    paths = Folder(folder).files("step-*.safetensors")
    return [path for path in reversed(paths) if _NAME.fullmatch(path.name)]
