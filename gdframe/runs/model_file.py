"""``model.safetensors``: the last parameters of a run, with the metadata for predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gdframe.errors import UserError
from gdframe.runs.files import write_atomically

FORMAT = 1
"""Version of the format of ``model.safetensors``."""


def write_model(path: Path, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a module's ``state_dict`` and metadata.

    Args:
        path: of the file.
        model: the module.
        metadata: plain values by key, stored as JSON.

    Raises:
        OSError: the file cannot be written.
    """
    # the file format cannot store tied weights, so each gets a copy
    tensors = {
        name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()
    }
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    content = safetensors.torch.save(tensors, {"format": json.dumps(FORMAT), **texts})
    write_atomically(path, content, flush="file")  # result.json is next


def read_model(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the metadata and the tensors of a file.

    Raises:
        UserError: the file is damaged, or has another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(text) for key, text in (file.metadata() or {}).items()}
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged: {str(error).splitlines()[0]}") from error
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path}: has format {metadata.get('format')}, but this version of gdframe reads "
            f"format {FORMAT}; predict with the version that wrote it"
        )
    return metadata, tensors
