"""Users' components draw by PyTorch, NumPy and Python as a function of the run's seed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd

from .writing import dataset

DRAWS = {
    "torch": lambda like: torch.rand_like(like),
    "numpy": lambda like: torch.from_numpy(np.random.rand(*like.shape)),
    "python": lambda like: torch.full_like(like, random.random()),
}


def generators():
    return [str(torch.get_rng_state().tolist()), str(np.random.get_state()), random.getstate()]


def trainer(draw, place, engine="eager"):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            return self.layer(x + draw(x) if self.training == (place == "steps") else x)

    class Langevin(gd.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            return [p - hyper["lr"] * (g + draw(g)) for p, g in zip(params, grads)], state

    class Sampled(gd.Metric):
        task = "regression"

        def __call__(self, predicted, targets):
            return draw(targets).mean()

    data = dataset(validation=0.25)
    with gd.seeded(0, gd.Purpose.INITIALIZE):
        model = (Noisy() if place in ("steps", "evaluations") else gd.Linear(3)).double()
    kind = Langevin if place == "optimizer" else gd.GD
    metrics = [Sampled()] if place == "metric" else None
    return gd.Trainer(
        model, gd.MSE(), kind(model.parameters(), lr=0.01), gd.MiniBatch(data.rows, 16), data,
        metrics=metrics, epochs=3, engine=engine, stopping=gd.Stopping(tolerance=None),
    )  # fmt: skip


@pytest.mark.parametrize("library", DRAWS)
@pytest.mark.parametrize("place", ["steps", "evaluations", "optimizer", "metric"])
def test_draws_are_a_function_of_the_seed_on_every_engine(place, library):
    histories = []
    for start, engine in enumerate(["eager", "eager", "auto" if place != "metric" else "linear"]):
        torch.manual_seed(start), np.random.seed(start), random.seed(start)
        built, before = trainer(DRAWS[library], place, engine), generators()
        histories.append(built.fit().history)
        assert generators() == before
    for history in histories[1:]:
        for column in set(history.epochs) - {"seconds"}:
            np.testing.assert_allclose(history[column], histories[0][column], rtol=1e-10)


@pytest.mark.parametrize("library", DRAWS)
def test_an_update_rule_that_draws_late_draws_as_on_the_plain_loop(library):
    class Perturbed(gd.Optimizer):
        """Draws where the gradient is small."""

        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            new = [p - hyper["lr"] * g for p, g in zip(params, grads)]
            if sum((g * g).sum() for g in grads) < 0.1:
                new = [p + 0.1 * DRAWS[library](p) for p in new]
            return new, state

    histories, seeds = {}, {"eager": 1, "again": 2, "gram": 3}
    for name, seed in seeds.items():
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        data, model = dataset(), gd.Linear(3).double()
        with torch.no_grad():
            [p.zero_() for p in model.parameters()]
        built, before = gd.Trainer(
            model, gd.MSE(), Perturbed(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
            epochs=60, engine=name if name in ("eager", "gram") else "gram",
            stopping=gd.Stopping(tolerance=None),
        ), generators()  # fmt: skip
        histories[name] = built.fit().history["gradient_norm"]
        assert generators() == before
    assert histories["eager"].min() ** 2 < 0.1 < histories["eager"][:2].min() ** 2
    np.testing.assert_allclose(histories["gram"], histories["eager"], rtol=1e-8)
    np.testing.assert_array_equal(histories["gram"], histories["again"])


def test_the_encoding_of_targets_draws_no_random_numbers():
    class NoisyLabels(gd.MSE):
        def encode(self, targets, dtype):
            return targets + 0.1 * torch.randn_like(targets)

    data, model = dataset(), gd.Linear(3).double()
    with pytest.raises(gd.UserError, match=r"NoisyLabels\.encode: gives other targets"):
        gd.Trainer(
            model, NoisyLabels(), gd.GD(model.parameters(), lr=0.01), gd.FullBatch(data.rows), data
        )


def test_the_encoding_of_targets_may_write_into_its_argument():
    class Halved(gd.MSE):
        def encode(self, targets, dtype):
            return targets.mul_(0.5)

    data, model = dataset(), gd.Linear(3).double()
    before = data.checksum()
    gd.Trainer(
        model, Halved(), gd.GD(model.parameters(), lr=0.01), gd.FullBatch(data.rows), data
    )  # fmt: skip
    assert data.checksum() == before
