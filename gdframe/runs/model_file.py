"""``model.safetensors``: the last parameters of a run, with the metadata for predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gdframe.errors import UserError, first_line, require_memory
from gdframe.runs.files import write_atomically
from gdframe.runs.folder import DamagedError
from gdframe.runs.parsing import check_header, conform, parse_json

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
        require_memory(str(path), path.stat().st_size, "remove it")
        path.open("rb").close()  # its errors tell more than those of safetensors
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            check_header(texts)
            metadata = {key: parse_json(text) for key, text in texts.items()}
            version = metadata.get("format")
            if type(version) is int and version != FORMAT:
                raise UserError(
                    f"{path}: has format {version}, but this version of gdframe reads format "
                    f"{FORMAT}; predict with the version that wrote it"
                )
            if version != FORMAT:
                raise ValueError("its metadata have no format")
            conform(metadata, "ModelMetadata")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except UserError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedError(
            f"{path}: is damaged: {first_line(error)}; resume the run to write it again"
        ) from error
    return metadata, tensors
