"""All registered loaders: their order is a function of (seed, epoch), and their counts add up."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gdframe as gd


@pytest.mark.parametrize("name", list(gd.LOADERS))
@given(rows=st.integers(1, 60), batch=st.integers(1, 60), steps=st.integers(0, 200))
def test_counts_add_up(name, rows, batch, steps):
    loader = gd.LOADERS.build(name, rows=rows, batch_size=min(batch, rows))
    sizes = [len(b) for b in torch.arange(rows).split(loader.batch_size)]
    assert loader.steps_per_epoch == len(sizes)
    seen = sum((sizes * (steps // len(sizes) + 1))[:steps])
    assert loader.samples(steps) == seen


@pytest.mark.parametrize("name", ["per_sample", "mini_batch"])
def test_order_is_a_permutation_of_seed_and_epoch(name):
    loader = gd.LOADERS.build(name, rows=50, batch_size=7)
    order = loader.order(3, 1)
    assert sorted(order.tolist()) == list(range(50))
    assert torch.equal(order, loader.order(3, 1))
    assert not torch.equal(order, loader.order(4, 1))
    assert not torch.equal(order, loader.order(3, 2))


def test_variants_with_one_seed_see_the_same_order():
    orders = [gd.PerSample(50).order(0, 9), gd.MiniBatch(50, 8).order(0, 9)]
    assert torch.equal(*orders)


def test_without_shuffling_rows_come_in_the_order_of_the_data():
    assert gd.PerSample(5, shuffle=False).order(0, 0) is None
    assert gd.FullBatch(5).order(0, 0) is None


@pytest.mark.parametrize("size", [0, -1, 11])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(gd.UserError, match=f"batch_size={size}"):
        gd.MiniBatch(10, size)


class Walk(gd.MiniBatch):
    """Shuffles the last epoch's order again, from the second epoch on."""

    def order(self, epoch, seed):
        if epoch == 0:
            return torch.arange(self.rows)
        self.last = getattr(self, "last", torch.arange(self.rows))[
            torch.randperm(self.rows, generator=gd.generator(seed, gd.Purpose.ORDER, epoch))
        ]
        return self.last


@pytest.mark.parametrize("engine", ["eager", "linear"])
def test_an_order_that_remembers_the_last_epoch_is_refused(engine):
    data = gd.Regression(rows=64, features=3).load(dtype=torch.float64)
    model = gd.Linear(3).double()
    with pytest.raises(gd.UserError, match="expected a function of \\(epoch, seed\\)"):
        gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), Walk(data.rows, batch_size=4),
            data, engine=engine, epochs=4,
        )  # fmt: skip


def test_samples_count_the_rows_of_shorter_epochs():
    class Short(gd.Loader):
        steps_per_epoch = 2

    assert [Short(10, 3).samples(steps) for steps in range(5)] == [0, 3, 6, 9, 12]
    assert [gd.MiniBatch(10, 4).samples(steps) for steps in range(5)] == [0, 4, 8, 10, 14]
