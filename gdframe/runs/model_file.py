"""``model.safetensors``: the parameters a run ended with, and all that ``predict`` needs."""

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
"""Version of the layout of ``model.safetensors``."""


def write_model(path: Path, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a module's ``state_dict`` and metadata.

    Args:
        path: of the file.
        model: the module.
        metadata: plain values, stored as JSON by key.

    Raises:
        OSError: it cannot be written.
    """
    # tied weights share memory, which the file format cannot say: each gets a copy
    tensors = {
        name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()
    }
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    content = safetensors.torch.save(tensors, {"format": json.dumps(FORMAT), **texts})
    write_atomically(path, content, settle=False)  # result.json comes next


def read_model(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the metadata and the tensors of a file.

    Raises:
        UserError: it is damaged, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(text) for key, text in (file.metadata() or {}).items()}
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} is of format {metadata.get('format')}, and this gdframe reads format "
            f"{FORMAT}: predict with the version that wrote it"
        )
    return metadata, tensors
