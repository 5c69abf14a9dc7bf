"""Loaders as researchers write them: each is followed as written, or refused."""

from __future__ import annotations

import torch

import gdframe as gd
from gdframe.loaders import FullBatch, MiniBatch, PerSample

LOADERS: dict[str, type] = {}
"""Loader classes by name; their only argument is the number of rows."""

REFUSED: set[str] = set()
"""Names of loaders that every engine refuses."""


def loader(name: str, *, refused: bool = False):
    def decorate(cls: type) -> type:
        LOADERS[name] = cls
        if refused:
            REFUSED.add(name)
        return cls

    return decorate


class Small(MiniBatch):
    def __init__(self, rows: int) -> None:
        super().__init__(rows, 5)


def draw(rows: int, epoch: int, seed: int, replacement: bool) -> torch.Tensor:
    random = gd.generator(seed, gd.Purpose.ORDER, epoch)
    if replacement:
        return torch.randint(0, rows, (rows,), generator=random)
    return torch.randperm(rows, generator=random)


@loader("bootstrap")
class Bootstrap(Small):
    def order(self, epoch, seed):
        return draw(self.rows, epoch, seed, True)


@loader("bootstrap row by row")
class BootstrapRows(PerSample):
    def order(self, epoch, seed):
        return draw(self.rows, epoch, seed, True)


@loader("bootstrap of all rows")
class BootstrapAll(FullBatch):
    def order(self, epoch, seed):
        return draw(self.rows, epoch, seed, True)


@loader("all rows in another order")
class ShuffledAll(FullBatch):
    def order(self, epoch, seed):
        return draw(self.rows, epoch, seed, False)


@loader("balanced")
class Balanced(Small):
    def order(self, epoch, seed):
        half = torch.arange(self.rows) < self.rows // 2
        chosen = torch.cat([half.nonzero()[:, 0], half.nonzero()[:, 0], (~half).nonzero()[:, 0]])
        return chosen[: self.rows][draw(self.rows, epoch, seed, False)]


@loader("backwards")
class Backwards(Small):
    def order(self, epoch, seed):
        return torch.arange(self.rows - 1, -1, -1)


@loader("every other epoch in order")
class Mixed(Small):
    def order(self, epoch, seed):
        return None if epoch % 2 == 0 else draw(self.rows, epoch, seed, False)


@loader("by seed though not shuffled")
class BySeed(Small):
    def __init__(self, rows):
        super().__init__(rows)
        self.shuffle = False

    def order(self, epoch, seed):
        return torch.arange(self.rows).roll(seed)


@loader("one row only")
class Stuck(Small):
    def order(self, epoch, seed):
        return torch.full((self.rows,), epoch % self.rows)


@loader("in 32 bits")
class Narrow(Small):
    def order(self, epoch, seed):
        return draw(self.rows, epoch, seed, False).to(torch.int32)


@loader("strided")
class Strided(Small):
    def order(self, epoch, seed):
        return torch.stack([draw(self.rows, epoch, seed, False)] * 2, dim=1)[:, 0]


@loader("caches")
class Caches(Small):
    def __init__(self, rows):
        super().__init__(rows)
        self.orders = {}

    def order(self, epoch, seed):
        if (epoch, seed) not in self.orders:
            self.orders[epoch, seed] = draw(self.rows, epoch, seed, False)
        return self.orders[epoch, seed]


@loader("drops the last batch")
class DropLast(Small):
    @property
    def steps_per_epoch(self):
        return self.rows // self.batch_size


@loader("too short", refused=True)
class Short(Small):
    def order(self, epoch, seed):
        return torch.arange(self.rows - 3)


@loader("too long", refused=True)
class Long(Small):
    def order(self, epoch, seed):
        return torch.arange(self.rows + 3) % self.rows


@loader("beyond the rows", refused=True)
class Beyond(Small):
    def order(self, epoch, seed):
        return torch.arange(self.rows) + 1


@loader("negative", refused=True)
class Negative(Small):
    def order(self, epoch, seed):
        return torch.arange(self.rows) - 1


@loader("a list", refused=True)
class AList(Small):
    def order(self, epoch, seed):
        return list(range(self.rows))


@loader("fractions", refused=True)
class Fractions(Small):
    def order(self, epoch, seed):
        return torch.arange(self.rows, dtype=torch.float32)


@loader("draws globally", refused=True)
class Global(Small):
    def order(self, epoch, seed):
        return torch.randperm(self.rows)


@loader("counts its calls", refused=True)
class Counts(Small):
    def __init__(self, rows):
        super().__init__(rows)
        self.calls = 0

    def order(self, epoch, seed):
        self.calls += 1
        return torch.arange(self.rows).roll(self.calls)


@loader("more steps than rows", refused=True)
class More(Small):
    @property
    def steps_per_epoch(self):
        return 2 * self.rows
