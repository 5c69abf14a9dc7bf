"""Asks the loader for an epoch's order, and checks what a user's loader returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.errors import UserError
from gdframe.hidden_state import ONE_AT_A_TIME, HiddenState
from gdframe.loaders.base import Loader
from gdframe.sameness import same_values

TRIED = 3
"""First epochs, whose orders are asked for before a run is built."""


def overrides_order(loader: Loader) -> bool:
    """Return whether a loader overrides ``order``, so that it may be no permutation of the rows."""
    return type(loader).order is not Loader.order or "order" in vars(loader)


def depends_on_seed(loader: Loader) -> bool:
    """Return whether runs with different seeds may see rows in different orders."""
    return loader.shuffle or overrides_order(loader)


def takes_all_rows(loader: Loader) -> bool:
    """Return whether each step takes every row once."""
    return loader.batch_size == loader.rows and not overrides_order(loader)


def row_order(loader: Loader, epoch: int, seed: int, runs: Sequence[Problem]) -> Tensor | None:
    """Return the order of an epoch's rows, (rows,) int64; None for the order of the data.

    Rows may be repeated and left out. A loader's memory is undone after each call.

    Args:
        loader: decides.
        epoch: counted from 0.
        seed: of a run.
        runs: those that train on the rows, which the loader must leave as they are.

    Raises:
        UserError: the loader returns anything else or another order after other calls, or changes
            a run.
    """
    if not overrides_order(loader):
        return loader.order(epoch, seed)
    with ONE_AT_A_TIME, HiddenState({"loader": loader}):
        (order,) = _orders(loader, [(epoch, seed)], runs)
    with ONE_AT_A_TIME, HiddenState({"loader": loader}):
        other_calls = [(max(epoch - 1, 0), seed), (epoch, seed + 1)]
        *_, again = _orders(loader, [*other_calls, (epoch, seed)], runs)
    is_same = order is again if order is None or again is None else same_values(order, again)
    if not is_same:
        raise _error(loader, "returns another order when called again")
    return order


def _orders(
    loader: Loader, calls: Iterable[tuple[int, int]], runs: Sequence[Problem]
) -> list[Tensor | None]:
    """Return copies of a loader's answers to calls in turn; each is (epoch, seed)."""
    with ExitStack() as guards:
        for run in runs:
            around = run.guard.around(f"loader {type(loader).__name__}", loader, own="loader")
            guards.enter_context(around)
        return [_checked(loader, loader.order(epoch, seed)) for epoch, seed in calls]


def _checked(loader: Loader, order: Tensor | None) -> Tensor | None:
    """Return a copy of an order.

    Raises:
        UserError: it is no order of the loader's rows.
    """
    if order is None:
        return None
    name, rows = type(loader).__name__, loader.rows
    if not isinstance(order, Tensor) or order.dtype not in (torch.int64, torch.int32):
        kind = f"{order.dtype} tensor" if isinstance(order, Tensor) else type(order).__name__
        raise UserError(
            f"{name}.order: returned a {kind}; expected a tensor of {rows} row numbers (int64), "
            "or None for the order of the data"
        )
    if order.shape != (rows,):
        raise UserError(
            f"{name}.order: returned a tensor of shape {tuple(order.shape)}; expected ({rows},), "
            "one row number for each training row (a row may be repeated)"
        )
    low, high = (int(value) for value in torch.aminmax(order))
    if low < 0 or high >= rows:
        wrong = low if low < 0 else high
        raise UserError(f"{name}.order: returned row {wrong}; expected rows 0 to {rows - 1}")
    return order.to(torch.int64, copy=True, memory_format=torch.contiguous_format)


def _error(loader: Loader, what: str) -> UserError:
    """Return the error for a loader whose order is no function of (epoch, seed)."""
    return UserError(
        f"{type(loader).__name__}.order: {what}; expected a function of (epoch, seed): draw with "
        "gdframe.generator(seed, gdframe.Purpose.ORDER, epoch)"
    )


def check_loader(loader: Loader, runs: Sequence[Problem], epochs: int) -> None:
    """Check that a loader's order is a function of (epoch, seed), and that its steps fit its rows.

    Raises:
        UserError: the order or the number of steps is wrong.
    """
    name, seed = type(loader).__name__, runs[0].seed
    steps, most_steps = loader.steps_per_epoch, -(-loader.rows // loader.batch_size)
    if not 1 <= steps <= most_steps:
        raise UserError(
            f"{name}.steps_per_epoch={steps}: {loader.rows} rows in batches of "
            f"{loader.batch_size} make 1 to {most_steps} steps"
        )
    if not overrides_order(loader):
        return
    calls = [(epoch, seed) for epoch in range(min(TRIED, epochs))]
    for call in calls:
        row_order(loader, *call, runs[:1])
    with HiddenState({"loader": loader}):
        _orders(loader, [*calls, (calls[-1][0], seed + 1)], runs[:1])
        with HiddenState({"loader": loader}) as saved:  # the first calls may have filled a cache
            _orders(loader, reversed(calls), runs[:1])
            if (place := saved.changed()) is not None:
                raise _error(loader, f"changes its {place}")
