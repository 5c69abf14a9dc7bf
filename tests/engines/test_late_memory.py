"""Loaders and schedules that keep a memory from some epoch on end the run, on every engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd

from .writing import dataset


class Reshuffles(gd.MiniBatch):
    """Shuffles its last order again from the fourth epoch on."""

    def __init__(self, rows):
        super().__init__(rows, batch_size=16)
        self.last, self.rank, self.orders = -1, torch.arange(rows), {}

    def shuffle_again(self, epoch, seed):
        draws = gd.generator(seed, gd.Purpose.ORDER, epoch)
        self.rank = self.rank[torch.randperm(self.rows, generator=draws)]
        return self.rank

    def order(self, epoch, seed):
        return self.late(epoch, seed) if epoch > 2 else torch.arange(self.rows)


class AtEachCall(Reshuffles):
    late = Reshuffles.shuffle_again


class InPlace(Reshuffles):
    def late(self, epoch, seed):
        self.rank.copy_(self.shuffle_again(epoch, seed).clone())
        return self.rank


class OnceAnEpoch(Reshuffles):
    def late(self, epoch, seed):
        if epoch != self.last:
            self.last = epoch
            self.shuffle_again(epoch, seed)
        return self.rank


class Stored(Reshuffles):
    def late(self, epoch, seed):
        if epoch not in self.orders:
            self.orders[epoch] = self.shuffle_again(epoch, seed)
        return self.orders[epoch]


class DrawnOnce(Reshuffles):
    """Draws by the seed of the run that asks first."""

    def late(self, epoch, seed):
        if epoch not in self.orders:
            draws = gd.generator(seed, gd.Purpose.ORDER, epoch)
            self.orders[epoch] = torch.randperm(self.rows, generator=draws)
        return self.orders[epoch]


def trainer(engine, loader, schedule=None, epochs=6):
    data = dataset()
    model = gd.Linear(3).double()
    return gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.02), loader(data.rows), data,
        schedule=schedule, engine=engine, epochs=epochs, stopping=gd.Stopping(tolerance=None),
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["eager", "linear"])
@pytest.mark.parametrize("loader", [AtEachCall, InPlace, OnceAnEpoch, Stored, DrawnOnce])
def test_a_loader_whose_memory_begins_late_ends_the_run(loader, engine):
    built = trainer(engine, loader)
    with pytest.raises(gd.UserError, match=rf"{loader.__name__}\.order: returns another order"):
        built.fit()
    assert built.run.step <= 3 * 4


class Caches(Reshuffles):
    def late(self, epoch, seed):
        if (epoch, seed) not in self.orders:
            draws = gd.generator(seed, gd.Purpose.ORDER, epoch)
            self.orders[epoch, seed] = torch.randperm(self.rows, generator=draws)
        return self.orders[epoch, seed]


def test_a_loader_may_cache_orders():
    weights = []
    for engine in ("eager", "linear"):
        built = trainer(engine, Caches)
        built.fit()
        weights.append(built.run.parameters()["weight"].clone())
    torch.testing.assert_close(*weights, rtol=1e-10, atol=0)


class Annealed(gd.Schedule):
    """Halves its factor at each call for a span that is none of those that are tried."""

    def __init__(self):
        self.value = 1.0

    def factor(self, epochs, clock):
        if len(epochs) > 1 and 2500 <= epochs[0] * clock.steps_per_epoch < 2600:
            self.value *= 0.5
        return np.full(len(epochs), self.value)


def test_a_schedule_whose_memory_begins_late_ends_the_run(monkeypatch):
    monkeypatch.setattr("gdframe.schedules.base.MOST_TRIALS", 4)
    monkeypatch.setattr("gdframe.schedules.base.SPAN", 4)
    built = trainer("eager", lambda rows: gd.PerSample(rows), Annealed(), epochs=60)
    with pytest.raises(gd.UserError, match=r"Annealed\.factor: gives another factor"):
        built.fit()
