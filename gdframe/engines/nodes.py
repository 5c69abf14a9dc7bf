"""The values of a recorded update rule, with their operands and their text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

SHARED = -1
"""Owner of values that belong to no parameter: hyperparameters and constants."""


class NotElementwiseError(Exception):
    """The update rule is not a formula for one coordinate; the message tells why."""


@dataclass(frozen=True, eq=False)
class Node:
    """A value of a recorded update rule.

    Args:
        text: returns the value's expression from the texts of its operands.
        operands: the values that it is computed from.
        dtype: its type.
        is_coordinate: whether each coordinate has such a value, or the step has one.
        owner: index of the parameter that it belongs to, or ``SHARED``.
    """

    text: Callable[..., str]
    operands: tuple[Node, ...]
    dtype: torch.dtype
    is_coordinate: bool
    owner: int = SHARED
    number: float | None = None


@dataclass
class Place:
    """The value of a tensor; tensors that share memory share a place."""

    node: Node


def owner_of(nodes: Sequence[Node]) -> int:
    """Return the parameter that all values belong to.

    Raises:
        NotElementwiseError: the values belong to several parameters.
    """
    owners = {node.owner for node in nodes} - {SHARED}
    if len(owners) > 1:
        raise NotElementwiseError("it combines different parameters")
    return owners.pop() if owners else SHARED


def number(value: float, dtype: torch.dtype, *, is_coordinate: bool = False) -> Node:
    """Return a constant."""
    text = repr(value) if math.isfinite(value) else f"np.{repr(value).removeprefix('-')}"
    if value < 0 and text.startswith("np."):
        text = f"-{text}"
    text = f"F({text})" if is_coordinate else f"({text})"
    return Node(lambda: text, (), dtype, is_coordinate, number=value)


def truth(value: bool) -> Node:
    """Return a constant truth value."""
    return Node(lambda: str(value), (), torch.bool, False, number=float(value))
