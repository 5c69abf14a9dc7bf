"""Tells whether a model computes each row by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gdframe.hidden_state import HiddenState
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.hidden_state.transparency import is_library
from gdframe.randomness import normal

ROUNDING, ON_GPU = 1e3, 5e-3
"""Largest relative differences: on a CPU in units of the type, on a GPU for float32."""


LARGEST_STRETCH = 30.0
"""Largest factor of ``heavy_tailed``."""


def parts(rows: int, partition: int, size: int | None = None) -> tuple[Tensor, ...]:
    """Cut rows, in a random order, into about as many parts as a part has rows.

    Two rows that share a part of one partition are in different parts of the other.

    Args:
        rows: how many.
        partition: 0 or 1; the parts are the rows or the columns of a square of all rows.
        size: of the parts instead, such as the size of a batch.
    """
    side = max(1, math.isqrt(rows))
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    if size is not None:
        return torch.split(order, size)
    if partition:
        return tuple(order[start::side] for start in range(side))
    return torch.split(order, side)


@torch.no_grad()
def is_by_row(
    function: Callable[[Tensor], Tensor], features: Tensor, most: int, partition: int,
    size: int | None = None,
) -> bool:  # fmt: skip
    """Return whether a function gives each row the same with other rows beside it.

    Args:
        function: (rows, features) -> (rows, ...).
        features: all of them are tried, (rows, features).
        most: rows at a time; all rows at once must give the same.
        partition: 0 or 1; in the two of them any two rows are told apart.
        size: of the parts instead of partitions.
    """
    values = torch.cat([function(x.clone()) for x in torch.split(features, most)])
    rounding = ROUNDING * torch.finfo(values.dtype).eps
    limit = (max(rounding, ON_GPU) if values.is_cuda else rounding) * values.abs().max()
    if len(features) > most and bool(((function(features.clone()) - values).abs() > limit).any()):
        return False
    for part in parts(len(features), partition, size):
        expected, again = values[part], function(features[part])
        if again.shape != expected.shape or bool(((again - expected).abs() > limit).any()):
            return False
    return True


def heavy_tailed(features: Tensor) -> Tensor:
    """Return features whose rows are stretched at random: limits that depend on a batch then show.

    The stretch has a limit, so that a sine does not magnify the rounding of its argument much.
    """
    random = torch.Generator().manual_seed(0)
    stretch = torch.randn(len(features), 1, generator=random, dtype=torch.float64).exp() ** 3
    return features * stretch.clamp(max=LARGEST_STRETCH).to(features)


def takes_rows_alone(
    model: nn.Module, features: Tensor, most: int, scales: tuple[float, float] = (0.0, 0.1)
) -> bool:
    """Return whether a model's outputs for a row do not depend on the other rows; it is tried.

    A trial that fails counts as no.

    Args:
        model: in evaluation mode; what it changes is put back.
        features: (rows, features).
        most: rows at a time.
        scales: of random changes of the parameters, one for each partition of the rows.
    """
    if is_untouched_built_in(model) or len(features) < 2:
        return True
    with HiddenState({"model": model}) as saved:
        if saved.opaque:
            return False
        try:
            for partition, scale in enumerate(scales):
                random = torch.Generator().manual_seed(partition)
                named = {
                    name: p + scale * normal(p, random) if p.is_floating_point() else p
                    for name, p in model.named_parameters()
                }
                if not is_by_row(
                    lambda x, named=named: functional_call(model, named, (x,)),  # type: ignore[misc]
                    features, most, partition,
                ):  # fmt: skip
                    return False
        except Exception:  # of a user's model, which may raise anything
            return False
    return True


class RowTrials:
    """Remembers whether a model takes rows alone; tries again where the model has changed since.

    Args:
        model: its parameters, and the buffers of PyTorch's layers, may change.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._known: dict[int, tuple[Tensor, bool, HiddenState]] = {}

    def takes_rows_alone(self, features: Tensor, most: int) -> bool:
        """Return whether the model's outputs for a row do not depend on the other rows.

        The model is in evaluation mode; the arguments are those of the function.
        """
        if is_untouched_built_in(self.model):
            return True
        if id(features) in self._known:
            _, is_alone, state = self._known[id(features)]
            if not is_alone or state.changed() is None:
                return is_alone
        is_alone = takes_rows_alone(self.model, features, most)
        layers = [m for m in self.model.modules() if is_library(type(m))]
        skip = [*self.model.parameters(), *(b for m in layers for b in m.buffers(recurse=False))]
        state = HiddenState({"model": self.model}, draws=False, skip=skip)
        self._known[id(features)] = features, is_alone, state
        return is_alone
