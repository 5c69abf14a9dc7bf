"""The split into training, validation and test rows: at random, by time, or by groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gdframe.errors import InputError, UserError, bad_value, counted
from gdframe.randomness import Purpose, generator

Indices = NDArray[np.int64]

FOLDS = 5
"""Number of folds where only the number of one is given."""


class Parts(NamedTuple):
    """Row numbers of each part; ascending, or in time where the split is by time."""

    train: Indices
    validation: Indices
    test: Indices


@dataclass(frozen=True)
class Split:
    """The division of rows into training, validation and test rows.

    Example:
        >>> from gdframe.data import Dataset
        >>> data = Dataset.from_arrays(
        ...     [[float(i)] for i in range(8)], list("aabbaabb"), validation=Split(fold="1/4")
        ... )
        >>> data.rows, len(data.validation)
        (6, 2)

    Args:
        validation: share of the rows that validate, in [0, 1); a fold takes its place.
        test: share of the rows that are measured once, at the end, in [0, 1).
        fold: which fold validates: ``2/10`` is number 2 of ten, counted from 0; a number alone is
            one of five.
        by: ``random`` draws rows, each class by its share; ``time`` takes the latest; ``group``
            keeps the rows of a group together.
        seed: of the draw.
        keys: for a split by time or group of data in memory: an array (rows,) beside arrays, or a
            column of a frame.

    Raises:
        UserError: a share or a fold is out of range.
    """

    validation: float = 0.2
    test: float = 0.0
    fold: int | str | None = None
    by: Literal["random", "time", "group"] = "random"
    seed: int = 0
    keys: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise bad_value(f"{name}={share:g}", "a number of at least 0 and below 1")
        if self.by not in ("random", "time", "group"):
            raise bad_value(f"split={self.by}", "random, time or group")
        _ = self.folds

    @property
    def folds(self) -> tuple[int, int] | None:
        """The number of the fold and how many there are; None without folds."""
        if self.fold is None:
            return None
        number, _, count = str(self.fold).partition("/")
        try:
            k, n = int(number), int(count) if count else FOLDS
        except ValueError:
            k, n = -1, 0
        if not (n >= 2 and 0 <= k < n):
            raise bad_value(
                f"fold={self.fold}",
                f"K/N, number K from 0 to N - 1 of N folds, or K alone of {FOLDS}",
            )
        return k, n


def split_rows(
    split: Split, rows: int, *, classes: NDArray[Any] | None = None, keys: NDArray[Any] | None
) -> Parts:
    """Return the rows of each part.

    Args:
        split: how to divide them.
        rows: how many there are.
        classes: (rows,) class indices, or None.
        keys: (rows,) times or group of each row, for a split by these.

    Raises:
        UserError: a part that was asked for has no row.
    """
    if split.by == "random":
        parts = _at_random(split, rows, classes)
    elif keys is None:
        raise UserError(f"split={split.by} needs the {split.by} of each row; give its column")
    else:
        parts = _by_time(split, keys) if split.by == "time" else _by_group(split, keys)
    _check(split, rows, parts)
    return parts


def _check(split: Split, rows: int, parts: Parts) -> None:
    """Check that no part is empty that was asked for."""
    of = counted(rows, "row")
    wanted = (("validation", "validate", split.validation), ("test", "test", split.test))
    for name, verb, share in wanted:
        is_fold = name == "validation" and split.fold is not None
        if split.by == "random" and not is_fold and 0 < round(share * rows) < rows:
            continue  # classes of one row have none to spare
        if (is_fold or share > 0) and not len(getattr(parts, name)):
            if is_fold:
                raise InputError(f"fold={split.fold}", f"leaves none of {of} to validate")
            example = ", such as 0.2" if rows > 2 else ""
            other = f"a larger share{example}, or " if rows > 1 else ""
            why = ""
            if round(share * rows):
                why, other = ", because groups and equal times stay together", ""
            raise InputError(
                f"{name}={share:g}",
                f"leaves none of {of} to {verb}{why}; use {other}0 for no {name}",
            )
    if not len(parts.train):
        share = split.validation or split.test
        example = ", such as 0.2" if rows > 2 else ""
        other = f"a smaller share{example}, or " if rows > 1 else ""
        name = "validation" if split.validation else "test"
        raise InputError(
            f"{name}={share:g}", f"leaves none of {of} to train; use {other}0 for no {name}"
        )


def _at_random(split: Split, rows: int, classes: NDArray[Any] | None) -> Parts:
    """Return parts drawn at random; of each class, its share."""
    shuffled = torch.randperm(rows, generator=generator(split.seed, Purpose.SPLIT)).numpy()
    members = [shuffled]
    if classes is not None:
        labels = classes[shuffled]
        members = [shuffled[labels == label] for label in np.unique(classes)]
    tested = [
        m[len(m) - n :] for m, n in zip(members, _quota(members, split.test, rows), strict=True)
    ]
    rest = [m[: len(m) - len(t)] for m, t in zip(members, tested, strict=True)]
    if split.folds is not None:
        k, n = split.folds
        starts = np.cumsum([0, *map(len, rest)])  # so that folds are equally large
        validated = [
            m[(np.arange(len(m)) + s) % n == k] for m, s in zip(rest, starts, strict=False)
        ]
    else:
        quota = _quota(members, split.validation, rows)
        most = [max(0, len(m) - 1) if classes is not None else len(m) for m in rest]
        validated = [m[: min(q, few)] for m, q, few in zip(rest, quota, most, strict=True)]
    return _parts(rows, np.concatenate(validated), np.concatenate(tested))


def _quota(members: Sequence[Indices], share: float, rows: int) -> list[int]:
    """Return how many rows of each class a part has, rounded by the largest remainders.

    Every class keeps a row, if there are several classes.
    """
    count = round(share * rows)
    exact = np.array([len(m) * count / rows for m in members])
    quota = np.floor(exact).astype(int)
    for index in np.argsort(quota - exact, kind="stable")[: count - quota.sum()]:
        quota[index] += 1
    if len(members) > 1:
        quota = np.minimum(quota, [len(m) - 1 for m in members])
    return [int(q) for q in quota]


def _by_time(split: Split, times: NDArray[Any]) -> Parts:
    """Return parts in time: training rows first, test rows last; equal times stay together."""
    order = np.argsort(times, kind="stable")
    sorted_times, rows = times[order], len(times)

    def cut(place: int) -> int:
        """Return the nearest place at or before which a new time begins."""
        place = min(max(place, 0), rows)
        return (
            place if place in (0, rows) else int(np.searchsorted(sorted_times, sorted_times[place]))
        )

    tested = cut(rows - round(split.test * rows))
    if split.folds is None:
        begin = cut(tested - round(split.validation * rows))
        return Parts(order[:begin], order[begin:tested], order[tested:])
    k, n = split.folds
    edges = [cut(round(tested * i / (n + 1))) for i in range(n + 1)] + [tested]
    return Parts(order[: edges[k + 1]], order[edges[k + 1] : edges[k + 2]], order[tested:])


def _by_group(split: Split, groups: NDArray[Any]) -> Parts:
    """Return parts of whole groups."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rows = len(groups)
    drawn = torch.randperm(len(sizes), generator=generator(split.seed, Purpose.SPLIT)).numpy()
    tested = _first_groups(drawn[::-1], sizes, split.test * rows)
    rest = drawn[: len(drawn) - len(tested)]
    if split.folds is None:
        validated = _first_groups(rest, sizes, split.validation * rows)
    else:
        k, n = split.folds
        fold_of, filled = np.zeros(len(sizes), dtype=int), np.zeros(n)
        for group in rest[np.argsort(-sizes[rest], kind="stable")]:
            fold_of[group] = smallest = int(filled.argmin())
            filled[smallest] += sizes[group]
        validated = rest[fold_of[rest] == k]
    return _parts(rows, *(np.flatnonzero(np.isin(codes, part)) for part in (validated, tested)))


def _first_groups(groups: Indices, sizes: Indices, rows: float) -> Indices:
    """Return as many of the first groups as come nearest to a number of rows."""
    totals = np.cumsum([0, *sizes[groups]])
    return groups[: int(np.abs(totals - rows).argmin())]


def _parts(rows: int, validation: Indices, test: Indices) -> Parts:
    """Return parts in ascending order; all other rows train."""
    is_out = np.zeros(rows, dtype=bool)
    is_out[validation] = is_out[test] = True
    return Parts(np.flatnonzero(~is_out), np.sort(validation), np.sort(test))
