"""One thread for small work: several wait for each other longer than they compute.

Where other programs keep the cores busy, a step of a few microseconds on two threads waits for the
second one, which made whole runs ten times slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.models.plain import is_linear_in_parameters
from gdframe.objective import CHUNK
from gdframe.registry import is_built_in

SMALL = 2e7
"""Products of a call below which two threads are hardly faster than one: at most by a seventh, with
networks on two quiet cores, and slower by far on busy ones."""

SIMPLE = (nn.Sequential, nn.Linear, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.Dropout, nn.Flatten)
"""Modules that use each parameter once for a row."""


@contextmanager
def one_thread_if_small(products: float) -> Iterator[None]:
    """Compute on one thread if calls are small, else on as many as the caller allows.

    Args:
        products: of a call, by ``products_of``.
    """
    before = torch.get_num_threads()
    if before == 1 or products >= SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def products_of(runs: Sequence[Problem], data: Dataset, rows: int | None = None) -> float:
    """Return at most how many products a call needs.

    Args:
        runs: computed together.
        data: what they train on.
        rows: of a call; by default those of the largest evaluation.
    """
    rows = min(data.rows, CHUNK) if rows is None else rows
    return float(len(runs) * rows * _of_row(runs[0], data.features))


def _of_row(run: Problem, features: int) -> int:
    """Return at most how many products a model needs for a row.

    A convolution or an attention uses a parameter at most once for each feature.
    """
    model = run.objective.model
    size = sum(p.numel() for p in model.parameters())
    modules = [*model.modules()]
    is_simple = all(isinstance(module, SIMPLE) or is_built_in(module) for module in modules)
    if is_simple or is_linear_in_parameters(model):
        return size
    return max(1, features) * (size + features)
