"""``model.safetensors``: the last parameters of a run, with the metadata for predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gdframe.errors import UserError, first_line, reason_of
from gdframe.registry import is_built_in
from gdframe.runs.checkpoint_file import content_digest
from gdframe.runs.files import write_atomically
from gdframe.runs.folder import DamagedError
from gdframe.runs.packing import pack, unpack
from gdframe.runs.parsing import conform, parse_json
from gdframe.runs.tensors_file import open_tensors
from gdframe.sameness import same_values

FORMAT = 1
"""Version of the format of ``model.safetensors``."""

DIGEST = "digest"
"""Name of the digest of tensors and other metadata, in the metadata."""

HIDDEN = "hidden tensors"
"""Name of the tensors of a user's model that are not in its ``state_dict``, in a model file."""


def write_model(path: Path, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a module's ``state_dict`` and metadata.

    Args:
        path: of the file.
        model: the module.
        metadata: plain values by key, stored as JSON.

    Raises:
        OSError: the file cannot be written.
    """
    values = model.state_dict()
    if not is_built_in(model):
        values[HIDDEN] = hidden_tensors(model)
    # the file format cannot store tied weights, so each gets a copy
    tensors = {name: t.cpu().contiguous() for name, t in pack(values).items()}
    texts = {key: json.dumps(value) for key, value in {"format": FORMAT, **metadata}.items()}
    digest = content_digest(tensors, json.dumps(texts, sort_keys=True))
    content = safetensors.torch.save(tensors, {**texts, DIGEST: json.dumps(digest)})
    write_atomically(path, content, flush="file")  # result.json is next


def hidden_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return tensors that a module predicts with and that are not in its ``state_dict``, by name.

    They are buffers that are not persistent, and attributes.
    """
    known = {*model.state_dict(), *dict(model.named_parameters())}
    return {
        name: value
        for path, module in model.named_modules()
        for attribute, value in [*module.named_buffers(recurse=False), *vars(module).items()]
        if isinstance(value, Tensor) and (name := f"{path}.{attribute}".lstrip(".")) not in known
    }


def adopt_buffers(model: nn.Module, values: Mapping[str, Any]) -> None:
    """Give a module the stored buffers that training created or separated, or gave another form.

    Args:
        model: its other buffers and its parameters stay as they are.
        values: by the names of the module's ``state_dict``.
    """
    expected = model.state_dict()
    device = next(model.parameters()).device
    modules = dict(model.named_modules())
    shared: dict[int, str] = {}  # the first name by memory: others may begin as the same tensor
    trained = dict(model.named_parameters())  # a buffer may begin as one of them
    for name in sorted(expected, key=lambda name: name not in trained):
        value = expected[name]
        if _has_memory(value):
            shared.setdefault(value.data_ptr(), name)
    for name, value in values.items():
        owner, _, attribute = name.rpartition(".")
        buffers = modules[owner]._buffers if owner in modules else {}
        if attribute not in buffers:
            continue
        now = expected.get(name)
        if _form(now) != _form(value):
            buffers[attribute] = value.to(device, copy=True)
            continue
        if _has_memory(now) and (first := shared.get(now.data_ptr(), name)) != name:
            other = values.get(first)
            if not isinstance(other, Tensor) or not same_values(other, value):
                buffers[attribute] = now.clone()
        elif _has_memory(now) and _overlaps(now):
            buffers[attribute] = now.contiguous()


def _has_memory(value: Any) -> TypeGuard[Tensor]:
    """Return whether a value is a tensor whose values lie in memory of their own or others'."""
    is_plain = isinstance(value, Tensor) and not is_lazy(value) and value.layout == torch.strided
    return is_plain and bool(value.numel())


def _overlaps(value: Tensor) -> bool:
    """Return whether several values of a tensor are one in memory, as in one that is expanded."""
    sizes = zip(value.shape, value.stride(), strict=True)
    return value.numel() > 1 + sum((size - 1) * stride for size, stride in sizes)


def _form(value: Any) -> tuple[torch.Size, torch.dtype] | None:
    return (value.shape, value.dtype) if isinstance(value, Tensor) else None


def load_model(model: nn.Module, values: Mapping[str, Any]) -> None:
    """Copy values that ``read_model`` returned into a module.

    Raises:
        RuntimeError: they are of another module.
    """
    state = dict(values)
    hidden: dict[str, Tensor] = state.pop(HIDDEN, {})
    adopt_buffers(model, state)
    model.load_state_dict(state)
    for name, value in hidden.items():
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, value)


def read_model(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata and the values of a file: tensors, and what a model keeps besides.

    Raises:
        UserError: the file is damaged, or has another format.
    """
    try:
        with open_tensors(path) as (file, texts):
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
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if (digest := metadata.pop(DIGEST, None)) is not None:  # files of before have none
            others = {key: text for key, text in texts.items() if key != DIGEST}
            if digest != content_digest(packed, json.dumps(others, sort_keys=True)):
                raise ValueError("its content does not match its digest")
        values = unpack(packed)
        hidden = values.get(HIDDEN, {})
        plain = {n for n, v in values.items() if not isinstance(v, Tensor)} - {HIDDEN}
        if not all(isinstance(v, Tensor) for v in hidden.values()) or any(
            not name.endswith("_extra_state") for name in plain
        ):
            raise ValueError("it holds values that are no tensors")
    except UserError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        if reason := reason_of(error):
            raise UserError(f"{path}: {reason}") from error
        raise DamagedError(
            f"{path}: is damaged: {first_line(error)}; resume the run to write it again"
        ) from error
    return metadata, values
