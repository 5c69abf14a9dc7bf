"""Packs numbers, text and containers into tensors by name, as safetensors files hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdframe.errors import UserError, require_memory
from gdframe.runs.folder import EXPANSION
from gdframe.runs.parsing import parse_json

TEXT = "plain values"
"""Name of the text of all values that are no tensors; tensors inside them are ``plain values.0``,
``plain values.1`` and so on. No attribute of a module has a space in its name."""


def pack(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return copies of values as tensors by name; tensors keep their names.

    Raises:
        UserError: a value holds something else than tensors, numbers (also of NumPy), text, None,
            and lists, tuples and dicts of these.

    Example:
        >>> unpack(pack({"weight": torch.ones(2), "losses": [(0.5, torch.zeros(1)), None]}))
        {'weight': tensor([1., 1.]), 'losses': [(0.5, tensor([0.])), None]}
    """
    packed, plain, inner = dict[str, Tensor](), dict[str, Any](), list[Tensor]()
    for name, value in values.items():
        if isinstance(value, Tensor):
            packed[name] = _copied(value)
            continue
        try:
            plain[name] = _encoded(value, inner)
        except (TypeError, RecursionError) as error:
            raise UserError(
                f"'{name}' cannot be saved: it holds {error}; expected tensors, numbers, text, "
                "None, and lists, tuples and dicts of these"
            ) from error
    if plain:
        text = bytearray(json.dumps(plain), "ascii")
        packed[TEXT] = torch.frombuffer(text, dtype=torch.uint8)
        packed |= {f"{TEXT}.{i}": _copied(value) for i, value in enumerate(inner)}
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the values that ``pack`` packed; tensors are not copied.

    Raises:
        ValueError: the text is not of ``pack``.
    """
    values: dict[str, Any] = {n: v for n, v in packed.items() if n.partition(".")[0] != TEXT}
    if TEXT not in packed:
        return values
    if packed[TEXT].dtype != torch.uint8 or packed[TEXT].ndim != 1:
        raise ValueError(f"its {TEXT} are not text")
    require_memory(f"its {TEXT}", EXPANSION * len(packed[TEXT]), "free some memory")
    try:
        plain = parse_json(packed[TEXT].numpy().tobytes().decode("ascii"))
        return values | {name: _decoded(value, packed) for name, value in plain.items()}
    except (ArithmeticError, AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"its {TEXT} are damaged") from error


def can_pack(value: Any) -> bool:
    """Return whether ``pack`` takes a value."""
    try:
        _encoded(value, [])
    except (TypeError, RecursionError):
        return False
    return True


def _copied(value: Tensor) -> Tensor:
    """Return a copy whose values lie in a row, as files hold them."""
    if value.layout != torch.strided:
        return value.detach().clone()
    return value.detach().clone(memory_format=torch.contiguous_format)


def _encoded(value: Any, inner: list[Tensor]) -> Any:
    """Return a value of JSON; tensors are appended to ``inner``."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {"numpy": [value.dtype.str, value.item()]}
    if isinstance(value, Tensor):
        inner.append(value)
        return {"tensor": len(inner) - 1}
    if type(value) is dict:
        return {"dict": [[_encoded(k, inner), _encoded(v, inner)] for k, v in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_encoded(v, inner) for v in value]}
    raise TypeError(f"a {type(value).__name__}")


def _decoded(value: Any, packed: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return packed[f"{TEXT}.{content}"]
    if kind == "numpy":
        return np.dtype(content[0]).type(content[1])
    if kind == "dict":
        return {_decoded(k, packed): _decoded(v, packed) for k, v in content}
    return {"list": list, "tuple": tuple}[kind](_decoded(v, packed) for v in content)
