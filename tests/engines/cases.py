"""The cells of the matrix: everything that engines can execute, with everything else."""

from __future__ import annotations

from itertools import product

import pytest
import torch

import gdframe as gd

from .problems import Case

LOADERS = ["full_batch", "per_sample", "mini_batch"]
DTYPES = [torch.float64, torch.float32]
OPTIMIZERS, PENALTIES, SCHEDULES, LOSSES = map(
    list, (gd.OPTIMIZERS, gd.PENALTIES, gd.SCHEDULES, gd.LOSSES)
)


def pick(values, index):
    """Return the values in turn."""
    return values[index % len(values)]


def slow_from(cases, count):
    """Return cases of which all but the first ``count`` are slow tests."""
    slow = [pytest.param(case, marks=pytest.mark.slow) for case in cases[count:]]
    return [*cases[:count], *slow]


def with_loaders(case):
    """Return a case with each loader."""
    return [Case(**{**vars(case), "loader": loader}) for loader in LOADERS]


SAMPLE = [
    Case(
        "linear", loss=pick(LOSSES, i), penalty=pick(PENALTIES, i + i // 8),
        optimizer=pick(OPTIMIZERS, i + i // 6), dtype=pick(DTYPES, i + i // 8),
        schedule=pick(SCHEDULES, i), clip=pick((None, 0.5), i // 2), runs=pick((1, 7), i),
    )
    for i in range(16)
] + [
    Case("linear", optimizer="adam", loss="cross_entropy", penalty="elastic_net", runs=17),
    Case("linear", optimizer="gd", loss="mse", runs=17, dtype=torch.float32, schedule="cosine"),
    Case("linear", optimizer="momentum", loss="hinge", penalty="l2", runs=66, clip=0.5),
]  # fmt: skip
"""Cases of the linear engine; the last three have runs side by side."""

MATRIX_OF_LINEAR = {
    f"{loss}-{penalty}-{optimizer}-{dtype}": [
        Case("linear", loader, optimizer, loss, penalty, schedule, clip, runs, dtype)
        for loader, runs, clip, schedule in [
            *product(LOADERS, (1,), (None, 0.5), SCHEDULES),
            *product(LOADERS, (7,), (None, 0.5), ["cosine"]),
            ("mini_batch", 17, 0.5, "cosine"),  # side by side
            ("per_sample", 17, None, "cosine"),
        ]
    ]
    for loss, penalty, optimizer, dtype in product(LOSSES, PENALTIES, OPTIMIZERS, DTYPES)
}


MATRIX_OF_GRAM = {
    f"{optimizer}-{dtype}": [
        Case("gram", "full_batch", optimizer, "mse", penalty, schedule, clip, runs, dtype)
        for penalty, schedule, clip, runs in product(
            ("none", "l2"), ("constant", "cosine"), (None, 0.5), (1, 7)
        )
    ]
    for optimizer, dtype in product(OPTIMIZERS, DTYPES)
}


def cells_of_compiled(loss, optimizer, loader, dtype):
    """Return two cells; penalties take turns, since each cell costs a compilation."""
    turn = sum(map(list.index, (LOSSES, OPTIMIZERS, LOADERS), (loss, optimizer, loader)))
    step = 1 + DTYPES.index(dtype)
    penalties = pick(PENALTIES, turn + step), pick(PENALTIES, turn + 2 * step)
    same = {"schedule": "cosine", "dtype": dtype, "model": "mlp"}
    return [
        Case("compiled", loader, optimizer, loss, penalties[0], **same),
        Case("compiled", loader, optimizer, loss, penalties[1], clip=0.5, runs=7, **same),
    ]


MATRIX_OF_COMPILED = {
    f"{loss}-{optimizer}-{loader}-{dtype}": cells_of_compiled(loss, optimizer, loader, dtype)
    for loss, optimizer, loader, dtype in product(LOSSES, OPTIMIZERS, LOADERS, DTYPES)
}


def chosen(matrix, condition):
    """Return the cells of a matrix that meet a condition, without empty lists."""
    chosen = {name: list(filter(condition, cells)) for name, cells in matrix.items()}
    return {name: cells for name, cells in chosen.items() if cells}
