"""The values of a recording: what they are computed from, and their text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

SHARED = -1
"""The owner of what belongs to no parameter: hyperparameters and constants."""


class NotElementwiseError(Exception):
    """The rule does something that has no meaning for one coordinate; the message says what."""


@dataclass(frozen=True, eq=False)
class Node:
    """A value of the recording.

    Args:
        text: makes the expression from its operands' texts.
        operands: other values.
        dtype: of the value.
        is_coordinate: whether there is one for each coordinate, or one for the step.
        owner: the parameter that it belongs to, or ``SHARED``.
    """

    text: Callable[..., str]
    operands: tuple[Node, ...]
    dtype: torch.dtype
    is_coordinate: bool
    owner: int = SHARED
    is_leaf: bool = False
    number: float | None = None


@dataclass
class Place:
    """Where a tensor keeps its value; tensors that share memory share a place."""

    node: Node


def owner_of(nodes: Sequence[Node]) -> int:
    """Return the parameter that all of some values belong to.

    Raises:
        NotElementwiseError: they belong to several.
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
