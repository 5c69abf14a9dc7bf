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
from safetensors import SafetensorError
from torch import Tensor

from gdframe.errors import LARGEST, UserError, first_line, reason_of
from gdframe.runs.files import write_atomically
from gdframe.runs.folder import DamagedError, Folder
from gdframe.runs.history_table import EPOCH_COLUMNS
from gdframe.runs.parsing import conform, parse_json
from gdframe.runs.tensors_file import open_tensors

FORMAT, READABLE = 2, (1, 2)
"""Versions of the checkpoint format: the one to write, and those that can be read."""

STEP_COLUMNS = ("step", "loss", "gradient_norm")
"""Columns that every history by step has."""

HISTORY_TYPES = (torch.float64, torch.int64)
"""Types of columns: of numbers, and of counts alone."""

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
    path = folder / file_name(capture.facts["step"])
    facts = json.dumps({"format": FORMAT, **capture.facts})
    metadata = {"facts": facts, "digest": content_digest(capture.tensors, facts)}
    write_atomically(path, safetensors.torch.save(capture.tensors, metadata))
    stored = _checkpoints(folder)
    undone = [other for other in stored if other.name > path.name]  # the run went back before them
    for old in [*undone, *stored[len(undone) + keep :]]:
        old.unlink(missing_ok=True)
    return path


def file_name(step: int) -> str:
    """Return the name of the checkpoint at a step."""
    return f"step-{step:012d}.safetensors"


def load_checkpoint(folder: Path) -> tuple[Capture | None, list[str]]:
    """Read the newest undamaged checkpoint of ``folder``.

    Returns:
        The checkpoint, or None if there is none, and a message for each newer, damaged one.

    Raises:
        UserError: the checkpoint has an unknown format, or all checkpoints are damaged.
    """
    damages: list[str] = []
    paths, unread = _checkpoints(folder), unread_checkpoints(folder)
    for path in sorted([*paths, *unread] if paths else [], reverse=True):
        try:
            if path in unread:
                raise ValueError("it is a link or no file, and is not read")
            return _read(path), [f"{damage}; the next older one is used" for damage in damages]
        except UserError:
            raise
        except PermissionError as error:
            raise UserError(
                f"{path}: cannot be read: {error.strerror}; make it readable, and resume"
            ) from error
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
            if reason := reason_of(error):
                raise UserError(f"{path}: {reason}") from error
            damages.append(f"checkpoint {path.name} is damaged ({first_line(error)})")
    if paths:
        raise DamagedError(
            f"{folder}: all checkpoints are damaged: {'; '.join(damages)}; remove {folder}, which "
            "holds checkpoints alone, and resume: the run trains from its start"
        )
    return None, []


def _read(path: Path) -> Capture:
    with open_tensors(path) as (file, texts):
        metadata = {"facts": "null", "digest": "", **texts}
        facts = parse_json(metadata["facts"])
        version = facts.get("format") if isinstance(facts, dict) else None
        if type(version) is int and version not in READABLE:
            raise UserError(
                f"{path}: has checkpoint format {version}, but this version of gdframe "
                f"reads formats {READABLE[0]} to {FORMAT}; resume with the version that wrote it"
            )
        conform(facts, "CheckpointFacts")
        if version not in READABLE or path.name != file_name(facts["step"]):
            raise ValueError("its format or its step is another than its name tells")
        places = {f"history.{name}": at for at, name in enumerate(facts.get("columns", ()))}
        names = sorted(file.keys(), key=lambda name: places.get(name, -1))  # the file sorts them
        tensors = {name: file.get_tensor(name) for name in names}
    if content_digest(tensors, metadata["facts"]) != metadata["digest"]:
        raise ValueError("its content does not match its digest")
    capture = Capture(tensors, facts)
    _check_history(capture)
    return capture


def _check_history(capture: Capture) -> None:
    """Raise ValueError unless the history has equally long columns, and a row to go on from.

    Rows may be later than the checkpoint: the run has returned to earlier parameters.
    """
    columns = {n: v for n, v in capture.tensors.items() if n.startswith("history.")}
    if any(v.dtype not in HISTORY_TYPES or v.ndim != 1 for v in columns.values()):
        raise ValueError("its history has a column that is no list of numbers")
    counts = (
        columns.get(f"history.{name}") for name in ("epochs/epoch", "epochs/step", "steps/step")
    )
    if any(not ((v >= 0) & (v <= LARGEST)).all() for v in counts if v is not None):
        raise ValueError("its history has an epoch or a step that is not from 0 to 2^53")
    for kind, needed in (("epochs", EPOCH_COLUMNS), ("steps", STEP_COLUMNS)):
        prefix = f"history.{kind}/"
        lengths = {len(v) for n, v in columns.items() if n.startswith(prefix)}
        if missing := [name for name in needed if prefix + name not in columns]:
            raise ValueError(f"its history has no column {missing[0]}")
        is_rising = bool((columns[f"{prefix}step"].diff() > 0).all())
        if len(lengths) > 1 or not is_rising or (kind == "epochs" and lengths == {0}):
            raise ValueError(f"its history of {kind} has columns that do not fit each other")
    if not 0 <= columns["history.epochs/step"][0] <= capture.facts["step"]:
        raise ValueError(f"its history has no row before step {capture.facts['step']}")
    if any(name.split("/")[0] not in ("history.epochs", "history.steps") for name in columns):
        raise ValueError("its history has an unknown part")


def content_digest(tensors: dict[str, Tensor], facts: str) -> str:
    """Return the digest of a file's tensors and of the text of what it holds besides."""
    digest = hashlib.blake2b(facts.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def unread_checkpoints(folder: Path) -> list[Path]:
    """Return what is named as a checkpoint and is a link, a folder or a device, newest first."""
    paths = (path for path in folder.glob("step-*.safetensors") if _NAME.fullmatch(path.name))
    # a run in training may have removed one
    unread = [p for p in paths if p.is_symlink() or (p.exists() and not p.is_file())]
    return sorted(unread, reverse=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, newest first."""
    paths = Folder(folder).files("step-*.safetensors")
    return [path for path in reversed(paths) if _NAME.fullmatch(path.name)]
