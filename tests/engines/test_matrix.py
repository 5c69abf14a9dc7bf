"""Every engine against the eager loop, over everything it claims to execute.

A sample runs with the other tests; the whole matrix, which compiles for an hour, by
``python -m pytest -m slow tests/engines/test_matrix.py``.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gdframe as gd

from .problems import Case, assert_follows_eager, train

LOADERS = ("full_batch", "per_sample", "mini_batch")
DTYPES = (torch.float64, torch.float32)
OPTIMIZERS, PENALTIES, SCHEDULES, LOSSES = map(
    list, (gd.OPTIMIZERS, gd.PENALTIES, gd.SCHEDULES, gd.LOSSES)
)


def pick(values, index):
    return values[index % len(values)]


SAMPLE = [
    Case(
        "linear", loss=pick(LOSSES, i), penalty=pick(PENALTIES, i + i // 8),
        optimizer=pick(OPTIMIZERS, i + i // 6), dtype=pick(DTYPES, i + i // 8),
        schedule=pick(SCHEDULES, i), clip=pick((None, 0.5), i // 2), runs=pick((1, 7), i),
    )
    for i in range(16)
]  # fmt: skip
SIDE_BY_SIDE = [
    Case("linear", optimizer="adam", loss="cross_entropy", penalty="elastic_net", runs=17),
    Case("linear", optimizer="gd", loss="mse", runs=17, dtype=torch.float32, schedule="cosine"),
    Case("linear", optimizer="momentum", loss="hinge", penalty="l2", runs=66, clip=0.5),
]


@pytest.mark.parametrize("case", SAMPLE + SIDE_BY_SIDE, ids=str)
def test_linear_follows_eager(case):
    for loader in LOADERS:
        assert_follows_eager(Case(**{**vars(case), "loader": loader}))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gram_follows_eager(optimizer, dtype):
    given = product(("none", "l2"), ("constant", "cosine"), (None, 0.5), (1, 7))
    for penalty, schedule, clip, runs in given:
        assert_follows_eager(
            Case(
                "gram", "full_batch", optimizer, "mse", penalty, schedule, clip, runs, dtype
            )
        )  # fmt: skip


COMPILED = [
    Case("compiled", optimizer="adam", model="mlp", penalty="l2", clip=0.5),
    Case("compiled", optimizer="momentum", model="mlp", loss="cross_entropy", runs=7,
         schedule="cosine", dtype=torch.float32),
]  # fmt: skip


@pytest.mark.parametrize("case", COMPILED, ids=str)
def test_compiled_follows_eager(case):
    assert_follows_eager(case)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_whole_matrix_of_linear(loss, penalty, optimizer, dtype):
    for loader, runs, clip, schedule in product(LOADERS, (1, 7, 17), (None, 0.5), SCHEDULES):
        if runs == 1 or schedule == "cosine":
            case = Case("linear", loader, optimizer, loss, penalty, schedule, clip, runs, dtype)
            assert_follows_eager(case)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_whole_matrix_of_compiled(loss, optimizer, loader, dtype):
    for penalty, clip, runs in (("none", None, 1), ("l2", 0.5, 7)):
        assert_follows_eager(
            Case(
                "compiled", loader, optimizer, loss, penalty, "cosine", clip, runs, dtype, "mlp"
            )
        )  # fmt: skip


@settings(max_examples=30)
@given(
    rows=st.integers(1, 40), features=st.integers(1, 9), batch_size=st.integers(1, 40),
    loader=st.sampled_from(LOADERS), runs=st.sampled_from([1, 2, 17]),
)  # fmt: skip
def test_linear_follows_eager_for_any_shape(rows, features, batch_size, loader, runs):
    case = Case(
        "linear", loader, "momentum", runs=runs, rows=rows, features=features,
        batch_size=batch_size,
    )  # fmt: skip
    assert_follows_eager(case, epochs=3)


@settings(max_examples=30)
@given(rows=st.integers(12, 60), features=st.integers(1, 9), runs=st.sampled_from([1, 3]))
def test_gram_follows_eager_for_any_shape(rows, features, runs):
    case = Case("gram", "full_batch", "adam", runs=runs, rows=rows, features=features)
    assert_follows_eager(case, epochs=5)


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_constant_columns_do_no_harm(engine):
    x = np.column_stack([np.ones(20), np.arange(20.0), np.zeros(20)])
    data = gd.Dataset.from_arrays(x, np.arange(20.0) ** 2, standardize=True, dtype=torch.float64)
    ends = []
    for name in ("eager", engine):
        model = gd.Linear(3).double()
        rule = gd.GD(model.parameters(), lr=0.1)
        run = gd.Run(gd.Objective(model, gd.MSE()), rule, gd.Constant(), 0)
        built = gd.ENGINES.build(name, runs=[run], data=data, loader=gd.FullBatch(20), epochs=30)
        for step in range(30):
            built.advance(step, step + 1)
        ends.append(built.parameters())
    for name, values in ends[0].items():
        torch.testing.assert_close(ends[1][name], values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("runs", [1, 17])
def test_linear_gives_the_same_bits_for_any_number_of_threads(threads, runs):
    def found(count: int) -> dict:
        torch.set_num_threads(count)
        try:
            shape = {"rows": 5000, "features": 3, "batch_size": 3000}
            ends = {}
            for loader in ("full_batch", "mini_batch"):
                case = Case("linear", loader, dtype=torch.float32, runs=runs, **shape)
                ends |= {f"{loader}/{k}": v for k, v in train(case, "linear", 3)[1].items()}
            return ends
        finally:
            torch.set_num_threads(1)

    one, several = found(1), found(threads)
    for name, values in one.items():
        assert np.array_equal(values, several[name]), name
